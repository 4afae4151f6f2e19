"""From the records of finished runs to verdicts: the command senet-compare.

The constants stand here, where nothing is imported: the help of a command needs no scipy.
"""

CONTROL = "attention=none"  # the baseline that arms are compared with unless another is named
MARGIN = 0.3  # points of accuracy; smaller differences count as equivalent unless told otherwise
RESERVE = 0.2  # part of a plan's error that is kept for more seeds unless told otherwise
