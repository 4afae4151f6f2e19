"""`trainer.devices=N`: one run as N processes of this machine, each the same command again.

They find each other through a file and talk over the loopback: torchrun's own meeting place would
listen on every network of the machine. Across machines `torchrun` starts them.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning.plugins.environments import LightningEnvironment

from senet_train.errors import Interrupted
from senet_train.training.distributed.world import STORE, world

GRACE_SECONDS = 30.0  # for the others once one has ended badly


def run_in_processes(size: int, argv: Sequence[str], threads: int) -> int:
    """Run the command with `argv` in `size` processes; the exit code of the first.

    Raises Interrupted once they have saved themselves, if a signal came.
    """
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            start(argv, Path(folder) / "store", rank, size, threads) for rank in range(size)
        ]
        try:
            wait_for(processes)
        except Interrupted as end:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # SLURM sends two: one is enough
            # To the first alone, which agrees with the others on the step to stop at.
            processes[0].send_signal(signal.Signals(end.exit_code - 128))
            wait_for(processes)
            raise
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    return processes[0].returncode


def start(
    argv: Sequence[str], store: Path, rank: int, size: int, threads: int
) -> subprocess.Popen[bytes]:
    """One of the processes; it ends when we do, as its standard input does."""
    place = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": size,
        "LOCAL_WORLD_SIZE": size,
        STORE: store,
        "OMP_NUM_THREADS": threads,
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
        "NCCL_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0",
    }
    return subprocess.Popen(
        [sys.executable, "-m", "senet_train", *argv],
        env={**os.environ, **{name: str(value) for name, value in place.items()}},
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes to us alone
    )


def wait_for(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Until all have ended; once one has ended badly the others have a while to notice."""
    deadline = float("inf")
    while any(process.poll() is None for process in processes):
        if deadline == float("inf") and any(process.returncode for process in processes):
            deadline = time.monotonic() + GRACE_SECONDS
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.05)


class WorldEnvironment(LightningEnvironment):
    """Tells Lightning of the processes that are there: it is to start none."""

    @property
    def creates_processes_externally(self) -> bool:
        return world().size > 1

    def world_size(self) -> int:
        return world().size

    def set_world_size(self, size: int) -> None:
        assert size == world().size

    def global_rank(self) -> int:
        return world().rank

    def set_global_rank(self, rank: int) -> None:
        assert rank == world().rank

    def local_rank(self) -> int:
        return world().local_rank

    def node_rank(self) -> int:
        return world().rank // world().local_size

    def teardown(self) -> None:
        """Lightning's own forgets how many there are; the test is still to come."""
