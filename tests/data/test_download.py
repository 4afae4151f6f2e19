"""Downloads against a loopback server that misbehaves, and CIFAR from a small archive."""

import hashlib
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from senet_train.data import cifar
from senet_train.errors import InputError
from senet_train.system import download as download_module
from senet_train.system.download import download, fetch

CONTENT = np.random.default_rng(0).bytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; counts what it sent.

    Of `/cut/...` the first answer ends half-way, of `/stuck/...` none goes on after half, and
    `/mute/...` is never answered.
    """

    files: dict[str, bytes]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.sent = {"file": CONTENT}, [], 0
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        *odd, name = self.path.strip("/").split("/")
        if odd == ["mute"]:
            self.server.closing.wait()
            return
        content = self.server.files.get(name)
        if content is None or "down" in odd:
            self.send_error(503)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(content) > 0:
            self.send_error(416)
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        half = (odd == ["cut"] and not wanted) or odd == ["stuck"]
        stop = len(content) // 2 if half else len(content)
        self.server.sent += stop - start  # first: whoever has read it all may count at once
        self.wfile.write(content[start:stop])
        if odd == ["stuck"]:
            self.server.closing.wait()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.closing.set()
        made.shutdown()
        thread.join()


def test_fetch(server: Server, tmp_path: Path) -> None:
    path = fetch([server.url("file")], tmp_path / "new" / "f.bin", SHA256)
    assert path.read_bytes() == CONTENT
    assert fetch([], path, SHA256) == path  # there already: no mirror is asked
    assert len(server.requests) == 1


def test_a_cut_connection_is_continued(server: Server, tmp_path: Path) -> None:
    mirrors = [server.url("cut/file"), server.url("file")]
    assert fetch(mirrors, tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == [None, f"bytes={len(CONTENT) // 2}-"]
    assert server.sent == len(CONTENT)


def test_a_cut_is_an_error_and_the_next_command_continues(server: Server, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="early"):
        fetch([server.url("cut/file")], tmp_path / "f.bin", SHA256)
    assert not (tmp_path / "f.bin").exists()
    assert fetch([server.url("cut/file")], tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


def test_a_wrong_checksum_goes_to_the_next_mirror(server: Server, tmp_path: Path) -> None:
    server.files["bad"] = b"<html>moved</html>"
    mirrors = [server.url("down/file"), server.url("bad"), server.url("file")]
    assert fetch(mirrors, tmp_path / "f.bin", SHA256).read_bytes() == CONTENT


def test_no_mirror_left(server: Server, tmp_path: Path) -> None:
    server.files["bad"] = b"<html>moved</html>"
    mirrors = [server.url("bad"), server.url("down/file"), "http://example.invalid/file"]
    with pytest.raises(InputError) as error:
        fetch(mirrors, tmp_path / "f.bin", SHA256)
    text = str(error.value)
    for part in ("wrong checksum", "503", "not https", SHA256, str(tmp_path / "f.bin")):
        assert part in text
    assert not (tmp_path / "f.bin").exists()


def test_plain_http_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not https"):
        download("http://www.cs.toronto.edu/x", tmp_path / "x")
    with pytest.raises(ValueError, match="not https"):
        download("file:///etc/passwd", tmp_path / "x")


def test_a_whole_part_needs_no_more_bytes(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".f.bin.part").write_bytes(CONTENT)
    assert fetch([server.url("file")], tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert server.sent == 0


def test_a_bad_part_is_begun_anew(server: Server, tmp_path: Path) -> None:
    """Of one mirror alone: a power cut may have left zeros where bytes were."""
    (tmp_path / ".f.bin.part").write_bytes(bytes(1000))
    assert fetch([server.url("file")], tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert [asked for _, asked in server.requests] == ["bytes=1000-", None]


def test_a_server_that_is_down(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that refuses, one that is mute and one that falls silent half-way."""
    monkeypatch.setattr(download_module, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    mirrors = [f"http://127.0.0.1:{port}/file", server.url("mute/file"), server.url("stuck/file")]
    with pytest.raises(InputError) as error:
        fetch(mirrors, tmp_path / "f.bin", SHA256)
    assert "Connection refused" in str(error.value)
    assert str(error.value).count("timed out") == 2
    assert "\n" not in str(error.value)
    assert not (tmp_path / "f.bin").exists()
    assert fetch([server.url("file")], tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert server.sent == len(CONTENT)  # the half that came was kept


def start_fetch(mirrors: list[str], path: Path) -> subprocess.Popen[bytes]:
    """By the file, not the package: that would import torch in every process."""
    code = (
        "import runpy, sys; from pathlib import Path; "
        "runpy.run_path(sys.argv[1])['fetch'](sys.argv[4:], Path(sys.argv[2]), sys.argv[3])"
    )
    file = str(download_module.__file__)
    return subprocess.Popen([sys.executable, "-c", code, file, str(path), SHA256, *mirrors])


def test_three_processes_download_once(server: Server, tmp_path: Path) -> None:
    """From a server that cuts the connection half-way."""
    mirrors = [server.url("cut/file"), server.url("file")]
    running = [start_fetch(mirrors, tmp_path / "f.bin") for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert (tmp_path / "f.bin").read_bytes() == CONTENT
    assert len(server.requests) == 2
    assert server.sent == len(CONTENT)


def test_a_killed_download_is_continued(server: Server, tmp_path: Path) -> None:
    """Neither its lock nor its half is in the way."""
    with start_fetch([server.url("stuck/file")], tmp_path / "f.bin") as process:
        part, deadline = tmp_path / ".f.bin.part", time.monotonic() + 60
        while not part.exists() or part.stat().st_size == 0:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.kill()
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    assert fetch([server.url("file")], tmp_path / "f.bin", SHA256).read_bytes() == CONTENT
    assert server.requests[-1] == ("/file", f"bytes={have}-")


def small_cifar() -> bytes:
    """An archive of CIFAR-10's layout with 50 + 10 images."""
    buffer = io.BytesIO()
    rng = np.random.default_rng(1)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    files = {
        name: {b"data": rng.integers(0, 256, (10, 3072), dtype=np.uint8), b"labels": [*range(10)]}
        for name in names
    }
    files["batches.meta"] = {b"label_names": cifar.CIFAR10_NAMES.split()}
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in files.items():
            data = pickle.dumps({key.decode(): value for key, value in content.items()})
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def md5_of_files(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            Path(member.name).name: hashlib.md5(tar.extractfile(member).read()).hexdigest()  # type: ignore[union-attr]
            for member in tar
        }


def test_cifar10_is_downloaded_verified_and_read(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = small_cifar()
    server.files["cifar-10-python.tar.gz"] = content
    digest = hashlib.sha256(content).hexdigest()
    archive = cifar.Archive(
        "cifar-10-python.tar.gz", digest, (server.url("cifar-10-python.tar.gz"),)
    )
    md5 = md5_of_files(content)
    monkeypatch.setattr(cifar, "CIFAR10", archive)
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    train = [[f"data_batch_{i}", md5[f"data_batch_{i}"]] for i in range(1, 6)]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", train)
    monkeypatch.setattr(datasets.CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5["batches.meta"]}
    monkeypatch.setattr(datasets.CIFAR10, "meta", meta)

    with pytest.raises(InputError, match=r"data\.download=false and .* is not the official"):
        cifar.cifar10(root=str(tmp_path / "d"), download=False)
    assert not (tmp_path / "d").exists()
    source = cifar.cifar10(root=str(tmp_path / "d"), download=True)
    assert not (tmp_path / "d").exists()  # a dry run fetches nothing
    source.prepare()
    pool, test = source.load()
    assert source.fingerprint == digest
    assert source.class_names == tuple(datasets.CIFAR10(str(tmp_path / "d")).classes)
    assert (len(pool.labels), len(test.labels)) == (50, 10)
    assert pool.labels.tolist() == [*range(10)] * 5
    assert cifar.cifar10(root=str(tmp_path / "d"), download=False).load()[1].ids[9] == "test/00009"


HOSTILE = {
    "dots": ("../../escaped", tarfile.REGTYPE, ""),
    "absolute": ("ABSOLUTE", tarfile.REGTYPE, ""),
    "symlink": ("cifar-10-batches-py/data_batch_1", tarfile.SYMTYPE, "../../../escaped"),
    "hard link": ("cifar-10-batches-py/data_batch_1", tarfile.LNKTYPE, "../../../escaped"),
}


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, trusted: bool
) -> None:
    """It has another checksum, so it is not even kept; and were it ours, nothing would escape."""
    name, entry_type, target = HOSTILE[kind]
    escaped = tmp_path / "escaped"
    name = str(escaped) if name == "ABSOLUTE" else name
    content = hostile(name, entry_type, target)
    digest = hashlib.sha256(content).hexdigest() if trusted else SHA256
    file = "cifar-10-python.tar.gz"
    server.files[file] = content
    monkeypatch.setattr(cifar, "CIFAR10", cifar.Archive(file, digest, (server.url(file),)))
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", hashlib.md5(content).hexdigest())
    root = tmp_path / "a" / "b"
    source = cifar.cifar10(root=str(root), download=True)
    if not trusted:
        with pytest.raises(InputError, match="wrong checksum"):
            source.prepare()
        assert [path.name for path in root.iterdir()] == [f".{file}.lock"]
    else:
        source.prepare()
        with pytest.raises((tarfile.TarError, RuntimeError)):
            source.load()
    assert not os.path.lexists(escaped)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def hostile(name: str, entry_type: bytes, target: str) -> bytes:
    """An archive with one member that would write, or point, outside the folder."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = entry_type, target
        entry.size = 4 if entry_type == tarfile.REGTYPE else 0
        archive.addfile(entry, io.BytesIO(b"evil"))
    return buffer.getvalue()


def test_official_archives() -> None:
    """What torchvision would fetch, and the class counts."""
    assert cifar.CIFAR10.mirrors[0] == datasets.CIFAR10.url
    assert cifar.CIFAR100.mirrors[0] == datasets.CIFAR100.url
    assert [len(set(names)) for names in cifar.CLASS_NAMES.values()] == [10, 100]
    for archive in (cifar.CIFAR10, cifar.CIFAR100):
        assert all(url.startswith("https://") for url in archive.mirrors)
        assert len(archive.mirrors) >= 2


def test_unpacking_waits_for_whoever_unpacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchvision unpacks in place: two processes at once would read each other's half files."""
    reading = threading.Event()
    monkeypatch.setattr(cifar, "read_part", lambda *_, **__: reading.set())
    archive = tmp_path / "archive.tar.gz"
    with tarfile.open(archive, "w:gz"):
        pass  # nothing in it: before Python 3.11.4 we look into it ourselves
    official = cifar.Archive(archive.name, hashlib.sha256(archive.read_bytes()).hexdigest(), ())
    source = cifar.cifar("CIFAR10", official, tmp_path, download=False)
    holder = (
        "import sys; from pathlib import Path; from senet_train.system.lock import file_lock;\n"
        "with file_lock(Path(sys.argv[1]), ''):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(cifar.lock_of(archive))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        loading = threading.Thread(target=source.load)
        loading.start()
        assert not reading.wait(0.5)
        process.communicate()  # lets go
        loading.join(timeout=30)
    assert reading.is_set()
