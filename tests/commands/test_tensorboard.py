"""The dashboard, opened by senet-board and read through TensorBoard's own HTTP interface."""

import csv
import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare_runs import write_run
from PIL import Image
from scipy import stats
from sklearn.metrics import confusion_matrix
from support import ROOT, TINY, Senet, run_folders
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from senet_train.commands.board.cli import main, refuse_without_runs
from senet_train.figures import figure_pixels
from senet_train.runs.record import read_record
from senet_train.training import fit
from senet_train.training.callbacks import gate_histograms as gates
from senet_train.training.callbacks.checkpoints import Checkpoints
from senet_train.training.pictures.classes import draw_confusion
from senet_train.training.tasks import classification, mistakes

# tensorboard 2.21 brings it.
pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer is deprecated")

START = "import sys; from senet_train.commands.board.cli import main; sys.exit(main())"


def open_board(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Board:
    """`senet-board` as a process, and what it answers."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        (folder / "tmp").mkdir()
        self.process = open_board(folder, *arguments, "--port", "0")
        assert self.process.stdout is not None
        self.said = self.process.stdout.readline()
        address = re.match(r"(http://127\.0\.0\.1:\d+/) shows ", self.said)
        assert address, self.end(signal.SIGKILL)
        self.address = address[1]

    def get(self, path: str, body: Any = None, **query: str) -> bytes:
        url = f"{self.address}data/{path}?{urllib.parse.urlencode(query)}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as response:
            content: bytes = response.read()
        return content

    def ask(self, path: str, body: Any = None, **query: str) -> Any:
        return json.loads(self.get(path, body, **query))

    def wait_for_runs(self, number: int) -> set[str]:
        deadline = time.monotonic() + 60
        while len(runs := self.ask("runs")) < number:  # it reads the folder in the background
            assert time.monotonic() < deadline
            time.sleep(0.1)
        return set(runs)

    def rows(self) -> dict[str, Any]:
        """The HPARAMS tab, by run."""
        groups = self.ask("plugin/hparams/session_groups", session_groups_request())
        return {group["sessions"][0]["name"]: group for group in groups["sessionGroups"]}

    def end(self, signum: int) -> tuple[int, str]:
        """Its exit code and what it said on standard error."""
        self.process.send_signal(signum)
        _, error = self.process.communicate(timeout=30)
        return self.process.returncode, error


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Callable[..., Board]]:
    """`board("outputs")` opens one; none outlives the test."""
    opened: list[Board] = []

    def start(*arguments: str) -> Board:
        opened.append(Board(tmp_path, *arguments))
        return opened[-1]

    yield start
    for one in opened:
        one.process.kill()
        one.process.communicate()


def session_groups_request() -> dict[str, Any]:
    return {
        "experimentName": "",
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
        "colParams": [],
        "startIndex": 0,
        "sliceSize": 100,
    }


def once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, after one call that fails."""
    calls = []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == 1:
            raise RuntimeError("pulled the plug")
        return function(*arguments)

    return failing


@pytest.fixture
def outputs(senet: Senet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Any]:
    """A run that was cut twice and gone on with, a plain one, one that diverged.

    The first dies once all of its last epoch is written but the checkpoint, and once after its
    pictures. The gates that it showed, by (stage, epoch).
    """
    monkeypatch.setattr(classification, "write_mistakes", mistakes.write_mistakes)
    shown: dict[Any, Any] = {}
    effective_gates = gates.effective_gates

    def note(*arguments: Any) -> Any:
        found = effective_gates(*arguments)
        for stage, values in found.items():
            shown.setdefault(stage, []).append(values)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(gates, "effective_gates", note)
        last_epoch = Checkpoints.on_validation_end
        dies = once(last_epoch)
        patch.setattr(
            Checkpoints,
            "on_validation_end",
            lambda self, trainer, module: (dies if module.progress.epoch == 2 else last_epoch)(
                self, trainer, module
            ),
        )
        patch.setattr(fit, "measure_latency", once(fit.measure_latency))
        assert senet(*TINY).code == 1
        assert senet(*TINY, "retry=failed").code == 1
        assert senet(*TINY, "retry=failed").code == 0
    assert senet(*(w for w in TINY if not w.startswith("ratio")), "attention=none").code == 0
    senet(*TINY, "optim.lr=1e20")
    return shown


def test_runs(outputs: dict[int, Any], board: Callable[..., Board], tmp_path: Path) -> None:
    opened = board("outputs")
    folders = run_folders(tmp_path)
    names = {folder: str(folder.relative_to(tmp_path / "outputs")) for folder in folders}
    assert opened.wait_for_runs(3) == set(names.values())
    assert all(len(name) < 60 for name in names.values())
    finished = [folder for folder in folders if (folder / "result.json").exists()]
    plain, se = sorted(finished, key=lambda folder: folder.parent.name.startswith("se_"))
    for folder in (plain, se):
        curves_are_those_of_the_file(opened, folder, names[folder])
        pictures_are_those_of_the_predictions(opened, folder, names[folder])
    gates_are_those_seen(opened, names[se], outputs)
    assert names[plain] not in opened.ask("plugin/histograms/tags")
    rows = opened.rows()
    assert len(rows) == 3
    for folder in (plain, se):
        row_is_that_of_the_record(rows[names[folder]], folder)
    states = [row["sessions"][0].get("status", "STATUS_UNKNOWN") for row in rows.values()]
    assert states.count("STATUS_SUCCESS") == 2  # the diverged run is none
    answers_its_own_names_alone(opened)
    assert opened.end(signal.SIGTERM) == (143, "stopped by SIGTERM\n")
    assert list((tmp_path / "tmp").iterdir()) == []


def answers_its_own_names_alone(board: Board) -> None:
    """A page whose name was made to resolve to 127.0.0.1 is told nothing (DNS rebinding)."""
    port = urllib.parse.urlsplit(board.address).port
    for name, code in (
        *(("127.0.0.1", 200), ("localhost", 200), (f"localhost:{port}", 200), ("[::1]", 200)),
        *(("evil.example", 403), (f"evil.example:{port}", 403), ("127.0.0.1.evil.example", 403)),
        *(("", 403), ("[", 403)),
    ):
        asked = http.client.HTTPConnection("127.0.0.1", port or 0, timeout=30)
        asked.request("GET", "/data/runs", headers={"Host": name})
        answer = asked.getresponse()
        assert (answer.status, b"seed0" in answer.read()) == (code, code == 200), name
        asked.close()


def curves_are_those_of_the_file(board: Board, folder: Path, run: str) -> None:
    """Whole, one point an epoch."""
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    tags = set(board.ask("plugin/scalars/tags")[run])
    for part, metric in (("train", "loss"), ("train", "top1"), ("val", "loss"), ("val", "top1")):
        tag = f"{part}/{metric}"
        assert tag in tags
        curve = board.ask("plugin/scalars/scalars", run=run, tag=tag)
        assert [step for _, step, _ in curve] == [0, 1]
        expected = [float(row[f"{part}_{metric}"]) for row in rows]
        assert [value for _, _, value in curve] == pytest.approx(expected, rel=1e-6)


def gates_are_those_seen(board: Board, run: str, shown: dict[int, Any]) -> None:
    """The second epoch was looked at twice and counts once, with the later look."""
    assert set(board.ask("plugin/histograms/tags")[run]) == {f"gates/stage{n}" for n in (1, 2, 3)}
    for stage, looks in shown.items():
        assert len(looks) == 3
        points = board.ask("plugin/histograms/histograms", run=run, tag=f"gates/stage{stage}")
        assert [step for _, step, _ in points] == [0, 1]
        for (_, _, buckets), values in zip(points, (looks[0], looks[2]), strict=True):
            assert len(values) == (16 * 2 ** (stage - 1)) * 6  # channels, images
            assert buckets[0][0] == pytest.approx(values.min())
            assert buckets[-1][1] == pytest.approx(values.max())
            counts, _ = np.histogram(values, 64)
            assert [count for _, _, count in buckets] == counts.tolist()


def pictures_are_those_of_the_predictions(board: Board, folder: Path, run: str) -> None:
    """From scikit-learn's count of predictions.npz; one of each, though drawn twice."""
    with np.load(folder / "predictions.npz") as file:
        labels, said = file["label"], file["top5"][:, 0]
    matrix = confusion_matrix(labels, said, labels=range(2))
    expected, other = (
        figure_pixels(partial(draw_confusion, counts, ["class0", "class1"], int(counts.trace())))
        for counts in (matrix, matrix + np.eye(2, dtype=np.int64))
    )
    found = only_image(board, run, "test/confusion")
    np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(found, other)
    num_shown = min(int((labels != said).sum()), 16)
    gallery = only_image(board, run, "test/misclassified")
    assert len(gallery) == pytest.approx(55 + 175 * ceil(num_shown / 4), abs=1)


def only_image(board: Board, run: str, tag: str) -> np.ndarray:
    [point] = board.ask("plugin/images/images", run=run, tag=tag, sample="0")
    query = dict(urllib.parse.parse_qsl(point["query"]))
    content = board.get("plugin/images/individualImage", **query)
    return np.asarray(Image.open(io.BytesIO(content)))


def row_is_that_of_the_record(row: dict[str, Any], folder: Path) -> None:
    record = read_record(folder / "result.json")
    values = {m["name"]["tag"]: m["value"] for m in row["metricValues"]}
    assert values["final/test_top1"] == pytest.approx(record.metrics.test_top1, rel=1e-6)
    assert values["final/val_top1"] == pytest.approx(record.metrics.val_top1, rel=1e-6)
    assert row["hparams"]["arm"] == record.label
    assert row["hparams"]["attention"].startswith(record.config["attention"]["name"])
    assert row["hparams"]["seed"] == 0


SE = {"attention.name": "se", "attention.ratio": 4}
TOP1 = {"resnet20": [0.70, 0.71, 0.69], "se_resnet20-r4": [0.75, 0.77, 0.74]}
COLUMNS = ("train_loss", "train_top1", "val_loss", "val_top1")


def write_table(base: Path) -> dict[str, list[np.ndarray]]:
    """Two arms of three seeds; each run's metrics.csv, (num_epochs, 4), the middle one longest."""
    generator = np.random.default_rng(0)
    curves: dict[str, list[np.ndarray]] = {}
    for label, accuracies in TOP1.items():
        for seed, top1 in enumerate(accuracies):
            folder = write_run(base, label, seed, top1, changes=SE if "se_" in label else None)
            values = generator.random((5 if seed == 1 else 4, len(COLUMNS)))
            rows = [f"{epoch},{','.join(map(str, row))}" for epoch, row in enumerate(values)]
            header = f"epoch,{','.join(COLUMNS)}"
            (folder / "metrics.csv").write_text("\n".join([header, *rows]) + "\n")
            curves.setdefault(label, []).append(values)
    return curves


def test_arms(board: Callable[..., Board], tmp_path: Path) -> None:
    curves = write_table(tmp_path / "runs")
    opened = board("runs", "--arms")
    assert opened.wait_for_runs(2) == set(TOP1)
    for arm, seeds in curves.items():
        arm_has_means_and_bands(opened, arm, seeds)
    charts_overlay_them(opened)
    arms_have_rows(opened.rows())
    listens_on_this_machine_alone(opened.process.pid)
    a_taken_port_is_refused(tmp_path, opened)
    [temporary] = (tmp_path / "tmp").glob("senet-board-*")
    assert temporary.is_dir()
    assert opened.end(signal.SIGINT) == (130, "stopped by SIGINT\n")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_runs_of_two_tasks_keep_their_columns(board: Callable[..., Board], tmp_path: Path) -> None:
    """TensorBoard alone shows those of the first run, and a segmenter without its mIoU."""
    own = {"a/seed0": {"final/val_top1": 0.5, "final/test_loss": 1.0}}
    own["b/seed0"] = {"final/val_miou": 0.25, "final/test_loss": 2.0}
    own["c/seed0"] = {"final/test_map": 0.125}
    for run, metrics in own.items():
        with SummaryWriter(str(tmp_path / "outputs" / run)) as writer:
            first = {"arm": run, "task": run} if run < "c" else {"arm": run, "later": 1}
            for summary in hparams(first, metrics):
                writer._get_file_writer().add_summary(summary)
            for tag, value in metrics.items():
                writer.add_scalar(tag, value, 0)
    opened = board("outputs")
    assert opened.wait_for_runs(3) == set(own)
    told = opened.ask("plugin/hparams/experiment", {"experimentName": ""})
    tags = [info["name"]["tag"] for info in told["metricInfos"]]
    assert sorted(tags) == ["final/test_loss", "final/test_map", "final/val_miou", "final/val_top1"]
    assert sorted(info["name"] for info in told["hparamInfos"]) == ["arm", "later", "task"]
    asked = {**session_groups_request(), "colParams": [{"metric": {"tag": tag}} for tag in tags]}
    for group in opened.ask("plugin/hparams/session_groups", asked)["sessionGroups"]:
        values = {value["name"]["tag"]: value["value"] for value in group["metricValues"]}
        assert values == own[group["sessions"][0]["name"]]


def arm_has_means_and_bands(board: Board, arm: str, seeds: list[np.ndarray]) -> None:
    """As far as every seed has come."""
    values = np.stack([seed[:4] for seed in seeds])  # (num_seeds, num_epochs, num_columns)
    mean, sd = values.mean(0), np.sqrt(values.var(0) * 3 / 2)
    for number, column in enumerate(COLUMNS):
        tag = column.replace("_", "/")
        for name, expected in (
            (tag, mean),
            (f"band/{tag}/mean-sd", (mean - sd).clip(0)),
            (f"band/{tag}/mean+sd", (mean + sd).clip(None, 1 if "top1" in tag else np.inf)),
        ):
            curve = board.ask("plugin/scalars/scalars", run=arm, tag=name)
            assert [step for _, step, _ in curve] == [0, 1, 2, 3]
            found = [value for _, _, value in curve]
            assert found == pytest.approx(expected[:, number].tolist(), rel=1e-5), name


def charts_overlay_them(board: Board) -> None:
    """Every tag that the layout names is there, of both arms."""
    [category] = board.ask("plugin/custom_scalars/layout")["category"]
    assert len(category["chart"]) == len(COLUMNS)
    tags = board.ask("plugin/scalars/tags")
    for chart in category["chart"]:
        [series] = chart["margin"]["series"]
        assert all(set(series.values()) <= set(tags[arm]) for arm in TOP1)
        assert series["lower"] != series["upper"]


def arms_have_rows(rows: dict[str, Any]) -> None:
    """What scipy says of the same accuracies."""
    plain, se = ([100 * value for value in values] for values in TOP1.values())
    paired = stats.ttest_rel(se, plain)
    interval = stats.t.interval(0.95, 2, np.mean(se), stats.sem(se))
    row = rows["se_resnet20-r4"]
    values = {m["name"]["tag"].removeprefix("verdict/"): m["value"] for m in row["metricValues"]}
    assert values == pytest.approx(
        {
            "test_top1": np.mean(se),
            "difference": np.mean(se) - np.mean(plain),
            "difference_low": paired.confidence_interval().low,
            "difference_high": paired.confidence_interval().high,
        },
        rel=1e-5,
    )
    assert row["hparams"] == {
        "verdict": "undecided" if paired.pvalue > 0.005 else "better",
        "n": 3,
        "test 95 % interval": f"{interval[0]:.2f} to {interval[1]:.2f}",
        "thousand parameters": 0.1,
    }
    control = rows["resnet20"]
    assert control["hparams"]["verdict"] == "control"
    assert [m["name"]["tag"] for m in control["metricValues"]] == ["verdict/test_top1"]


def listens_on_this_machine_alone(pid: int) -> None:
    """Every socket that the process and its children listen at."""
    if sys.platform != "linux":
        pytest.skip("reads /proc")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    owned = set()
    for process in (str(pid), *children):
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            owned.add(os.readlink(descriptor))
    listening = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A" and f"socket:[{words[9]}]" in owned:
                listening.append(words[1].partition(":")[0])
    assert listening
    assert set(listening) == {"0100007F"}  # 127.0.0.1, lowest byte first


def a_taken_port_is_refused(folder: Path, board: Board) -> None:
    port = board.address.strip("/").rpartition(":")[2]
    with open_board(folder, "runs", "--arms", "--port", port) as second:
        said, error = second.communicate(timeout=60)
    assert (second.returncode, said, error.count("\n")) == (2, "", 1)
    assert f"--port {port}" in error


def test_it_is_asked_to_listen_on_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(self: Any) -> str:
        asked.append(self.flags.host)
        raise OSError("enough")

    monkeypatch.setattr("tensorboard.program.TensorBoard.launch", refuse)
    (tmp_path / "events.out.tfevents.1").touch()
    assert main([str(tmp_path)]) == 2
    assert asked == ["127.0.0.1"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    return line


def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for arms in ([], ["--arms"]):
        assert "outputs is no folder" in refused(capsys, *arms)
    (tmp_path / "outputs").mkdir()
    assert "outputs holds no run" in refused(capsys)
    (tmp_path / "outputs" / "events.out.tfevents.1").touch()
    assert "outputs holds no run" in refused(capsys, "--arms")
    assert "70000 is no port" in refused(capsys, "--port", "70000")


def test_an_event_file_that_is_a_pipe_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1").touch()
    refuse_without_runs(tmp_path)  # the control
    os.mkfifo(tmp_path / "run" / "events.out.tfevents.2")
    assert main([str(tmp_path)]) == 2
    assert "tfevents.2 is a pipe or a device and no event file" in capsys.readouterr().err
