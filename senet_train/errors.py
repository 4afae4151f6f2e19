"""The ways a run can end other than well; each carries the exit code the command returns."""

import signal


class RunError(Exception):
    """A run failed. The message is one line for the user."""

    exit_code = 1


class Diverged(RunError):
    """The loss is not finite; the weights were not touched by it."""


class OutOfMemory(RunError):
    """The device or the machine has no memory left. Nothing was changed to make the run fit."""


class Pruned(Exception):
    """A search has asked this run to stop: it is saved, and did not fail."""

    def __init__(self, reason: str, val_score: float) -> None:
        super().__init__(reason)
        self.val_score = val_score  # of its best epoch so far


class InputError(RunError, ValueError):
    """The user asked for something that cannot be: states the rule, the value and the way out."""

    exit_code = 2


class CannotExist(InputError):
    """This attention cannot be built into this network: a table skips such an arm."""


class HeldError(RunError):
    """Another live process holds the run folder."""

    exit_code = 4


class PeerLost(RunError):
    """One of the processes that train this run together is gone; the run can be gone on with."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived. No `Exception`, so that nothing on the way out mistakes it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.exit_code = 128 + signum
