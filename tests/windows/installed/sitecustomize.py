"""Every interpreter whose PYTHONPATH names this folder is one of a pretended Windows."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

import pretended

pretended.install()
