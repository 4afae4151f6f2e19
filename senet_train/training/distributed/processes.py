"""`trainer.devices=N`: one run as N processes of this machine, each with the same command.

They find each other through a file and communicate over the loopback interface: torchrun's
rendezvous would listen on every network of the machine. On several machines `torchrun` starts them.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import psutil
from pytorch_lightning.plugins.environments import LightningEnvironment

from senet_train.errors import Interrupted
from senet_train.system.safe_path import leave_out_the_working_folder
from senet_train.system.signals import STOP_SECONDS, hold_signals
from senet_train.training.distributed.world import STORE, world

# What start_new_session is elsewhere, which Windows knows not.
if sys.platform == "win32":
    NEW_GROUP = subprocess.CREATE_NEW_PROCESS_GROUP
else:
    NEW_GROUP = 0
LOOPBACK = "127.0.0.1"
GRACE_SECONDS = 30.0  # for the other processes to end, once one has failed


def run_in_processes(world_size: int, argv: Sequence[str], threads: int) -> int:
    """Run the command with `argv` in `world_size` processes; the exit code of rank 0.

    Raises Interrupted after a signal, once the processes have saved their checkpoint.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        processes: list[subprocess.Popen[bytes]] = []
        try:
            with hold_signals():  # else one could be started that is not among them yet
                for rank in range(world_size):
                    processes.append(start_process(argv, store, rank, world_size, threads))
            wait_for_all(processes)
        except Interrupted as end:
            ask_to_end(processes, signal.Signals(end.exit_code - 128))
            wait_for_all(processes, STOP_SECONDS)
            raise
        finally:
            for process in processes:
                process.kill()
                process.communicate()
    return processes[0].returncode


def start_process(
    argv: Sequence[str], store: Path, rank: int, world_size: int, threads: int
) -> subprocess.Popen[bytes]:
    """Start one process. It ends when this one does, because its standard input is closed then."""
    variables = {
        "RANK": rank,
        "LOCAL_RANK": rank,
        "WORLD_SIZE": world_size,
        "LOCAL_WORLD_SIZE": world_size,
        STORE: store,
        "OMP_NUM_THREADS": threads,
        "GLOO_SOCKET_IFNAME": loopback(),
        "NCCL_SOCKET_IFNAME": loopback(),
    }
    leave_out_the_working_folder()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "senet_train", *argv],
        env={**os.environ, **{name: str(value) for name, value in variables.items()}},
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C comes to us alone
        creationflags=NEW_GROUP,
    )


@cache
def loopback() -> str:
    """The name of the interface that leads nowhere but to this machine."""
    interfaces = psutil.net_if_addrs().items()
    names = [name for name, its in interfaces if any(each.address == LOOPBACK for each in its)]
    return names[0] if names else "lo"  # gloo then says that there is none


def ask_to_end(processes: Sequence[subprocess.Popen[bytes]], signum: signal.Signals) -> None:
    """Have rank 0 stop as by this signal: it agrees with the others on the step to stop at."""
    if sys.platform != "win32":
        for process in processes:
            process.send_signal(signal.SIGCONT)  # one that was stopped would never save itself
        for first in processes[:1]:
            first.send_signal(signum)
        return
    for first in processes[:1]:  # no signal comes to another process there: as if we had ended
        assert first.stdin is not None
        first.stdin.close()


def wait_for_all(
    processes: Sequence[subprocess.Popen[bytes]], seconds: float = float("inf")
) -> None:
    """Wait until all have ended; kill them after so many seconds, or GRACE_SECONDS after a failure.

    A failure is that of any of them.
    """
    deadline, failed = time.monotonic() + seconds, False
    while any(process.poll() is None for process in processes):
        if not failed and any(process.returncode for process in processes):
            failed, deadline = True, min(deadline, time.monotonic() + GRACE_SECONDS)
        if time.monotonic() > deadline:
            for process in processes:
                process.kill()
        time.sleep(0.05)


class WorldEnvironment(LightningEnvironment):
    """Lightning's cluster environment for our `World`: its processes have been started already."""

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
        """Keep the world size, which Lightning's own forgets after training: the test follows."""
