"""The command `senet-profile`: networks or runs in, what they cost here side by side out."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from senet_train.commands.command_line import (
    Parser,
    at_least_one,
    command,
    refuse_folder,
    write_then_print,
)
from senet_train.commands.profile.requested import (
    RequestedNetwork,
    group_settings,
    requested_networks,
)
from senet_train.errors import InputError
from senet_train.runs.inputs import find_run

DESCRIPTION = """Measure what networks cost on this machine: parameters and multiply-adds with
attention's own apart, what a training step keeps in memory, milliseconds of a forward pass, and
attention's share of each, measured in turn with the same network without attention. Exit codes: 0
done, 2 bad input."""
EXAMPLE = "Example: senet-profile model=resnet20 model=se_resnet20 ratio=4"
NETWORKS = """settings of senet-train, or a run's folder. model= begins a network, what comes before
the first is for all, and so are data that are named for one alone; a quoted group is one network,
and several values make several (ratio=4,16)"""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments. Raises InputError."""
    parser = Parser(prog="senet-profile", description=DESCRIPTION, epilog=EXAMPLE)
    parser.add_argument("networks", nargs="*", metavar="SETTING|RUN", help=NETWORKS)
    parser.add_argument(
        "--batch-sizes",
        type=batch_sizes,
        default=[1, 32, 128],
        metavar="N,N",
        help="images of a forward pass (default: 1,32,128)",
    )
    parser.add_argument("--device", choices=["auto", "cpu", "gpu"], default="auto")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write all of it there, FILE.json or FILE.csv"
    )
    return parser.parse_intermixed_args(list(argv))


def batch_sizes(text: str) -> list[int]:
    """`1,32` -> [1, 32]."""
    return list(dict.fromkeys(map(at_least_one, text.split(","))))


def profile(arguments: argparse.Namespace) -> int:
    """Compose, build, measure, write, print; the exit code. Raises InputError before measuring."""
    refuse_out(arguments.out)
    groups = group_settings(arguments.networks)
    settings = [list(requested_networks(g)) if isinstance(g, list) else g for g in groups]
    for run in (group for group in groups if isinstance(group, Path)):
        find_run(run)
    import torch

    from senet_train.commands.profile import networks
    from senet_train.commands.profile.files import write_profiles
    from senet_train.commands.profile.measure import measure
    from senet_train.commands.profile.table import print_profiles
    from senet_train.networks.hardware import choose_accelerator, device_of, hardware_of
    from senet_train.runs.environment import describe_environment
    from senet_train.system.arithmetic import arithmetic

    asked: list[RequestedNetwork] = []
    for group in settings:
        asked += group if isinstance(group, list) else [networks.request_run(group)]
    device = device_of(choose_accelerator(arguments.device, "--device gpu"))
    specs = [(each.words, networks.spec_of(each.config, device)) for each in asked]
    precisions = networks.precisions(device)
    kernel = specs[0][1].kernel
    hardware = hardware_of(
        networks.accelerator_of(device), precisions[-1], kernel, deterministic=False
    )
    with arithmetic(
        deterministic=False,
        cudnn_benchmark=hardware.cudnn_benchmark,
        threads=torch.get_num_threads(),
    ):
        profiles = measure(specs, device, precisions, arguments.batch_sizes)
    if not profiles:
        raise InputError("none of these networks can exist: the lines above say why")
    environment = describe_environment(hardware)
    write_then_print(
        lambda: write_profiles(profiles, environment, arguments.out),
        lambda: print_profiles(profiles, environment),
    )
    return 0


def refuse_out(file: Path | None) -> None:
    """Raises InputError for a file that cannot be written, or is there: none is replaced."""
    if file is None:
        return
    if file.suffix not in (".csv", ".json"):
        raise InputError(f"--out {file} is of no kind: name it .csv or .json")
    if file.exists():
        raise InputError(f"--out {file} is there and is not replaced: remove it, or name another")
    refuse_folder(file.parent, "--out")
    if not file.parent.is_dir():
        raise InputError(f"--out {file}: there is no folder {file.parent}: make it")


main = command(parse, profile)
