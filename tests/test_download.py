"""Downloads against a loopback server that misbehaves, and CIFAR from a small archive."""

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision import datasets

from senet_train.data import cifar
from senet_train.data.download import download, fetch
from senet_train.errors import InputError

CONTENT = np.random.default_rng(0).bytes(400_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `files`; `/cut/...` ends half-way the first time; counts what it sent."""

    files: dict[str, bytes]

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.requests, self.sent = {"file": CONTENT}, [], 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.path, wanted))
        *odd, name = self.path.strip("/").split("/")
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
        stop = len(content) // 2 if odd == ["cut"] and not wanted else len(content)
        self.wfile.write(content[start:stop])
        self.server.sent += stop - start

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
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


def test_three_processes_download_once(server: Server, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from senet_train.data.download import fetch; "
        "fetch([sys.argv[1]], Path(sys.argv[2]), sys.argv[3])"
    )
    command = [sys.executable, "-c", code, server.url("file"), str(tmp_path / "f.bin"), SHA256]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert (tmp_path / "f.bin").read_bytes() == CONTENT
    assert server.sent == len(CONTENT)


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
    archive.write_bytes(b"x")
    official = cifar.Archive(archive.name, hashlib.sha256(b"x").hexdigest(), ())
    source = cifar.cifar("CIFAR10", official, tmp_path, download=False)
    holder = (
        "import sys; from pathlib import Path; from senet_train.lock import hold;\n"
        "with hold(Path(sys.argv[1]), ''):\n"
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
