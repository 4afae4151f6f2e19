"""An MLflow server that is none: it answers on 127.0.0.1, and keeps what arrives."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Server(ThreadingHTTPServer):
    """`arrived` has every request: method, path, and what it says. `broken` refuses all of them."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server_port}"
        self.broken = False
        self.arrived: list[tuple[str, str, dict[str, Any]]] = []
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.metrics: dict[str, list[dict[str, Any]]] = {}

    def answer(self, call: str, said: dict[str, Any]) -> dict[str, Any] | None:
        """What MLflow's REST interface answers; None for what there is not."""
        if call == "experiments/get-by-name":
            name = said["experiment_name"]
            number = self.experiments.get(name)
            return number and {"experiment": {"experiment_id": number, "name": name}}
        if call == "experiments/create":
            number = str(len(self.experiments) + 1)
            self.experiments[said["name"]] = number
            return {"experiment_id": number}
        if call == "runs/create":
            run_id = f"{len(self.runs):032x}"
            info = {"run_id": run_id, "lifecycle_stage": "active", "status": "RUNNING"}
            info |= {"experiment_id": said["experiment_id"], "run_name": said["run_name"]}
            self.runs[run_id] = {"info": info, "data": {"tags": said["tags"], "params": []}}
            self.metrics[run_id] = []
            return {"run": self.runs[run_id]}
        run = self.runs.get(said.get("run_id", ""))
        if run is None:
            return None
        if call == "runs/update":
            run["info"]["status"] = said["status"]
            return {"run_info": run["info"]}
        if call == "runs/log-batch":
            run["data"]["params"] += said.get("params", [])
            self.metrics[said["run_id"]] += said.get("metrics", [])
            return {}
        if call == "metrics/get-history":
            key = said["metric_key"]
            return {"metrics": [one for one in self.metrics[said["run_id"]] if one["key"] == key]}
        return {"run": run} if call == "runs/get" else None


class Handler(BaseHTTPRequestHandler):
    """Answers GET and POST, and any way to ask a proxy."""

    server: Server

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        said = {key: values[0] for key, values in parse_qs(parts.query).items()}
        self.reply(parts.path, said)

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(self.path, json.loads(content or b"{}"))

    def do_CONNECT(self) -> None:
        self.reply(self.path, {})

    def reply(self, path: str, said: dict[str, Any]) -> None:
        self.server.arrived.append((self.command, path, said))
        call = path.partition("/mlflow/")[2]
        answer = None if self.server.broken else self.server.answer(call, said)
        if answer is None:
            answer = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"there is no {path}"}
            code = 404
        else:
            code = 200
        content = json.dumps(answer).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on the console."""


@contextmanager
def pretended_mlflow() -> Iterator[Server]:
    """A server, for the block."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
