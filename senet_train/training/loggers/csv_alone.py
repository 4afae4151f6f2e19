"""`logger=csv`: metrics.csv alone, which the journal writes whatever is chosen."""

from collections.abc import Sequence

from senet_train.training.loggers.sink import LoggedRun, Points, Sink


class CsvAlone:
    """Nothing besides metrics.csv."""

    def open(self, run: LoggedRun, points: Sequence[Points]) -> list[Sink]:
        """No sink."""
        return []
