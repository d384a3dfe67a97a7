"""Real HTTP servers in processes of their own, and a client that sends what it is told, byte for byte."""

from __future__ import annotations

import http.client
import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from demo.processes import accepts_connections, free_port, running
from restate_identity import Reason

ROOT = Path(__file__).resolve().parent.parent
DEADLINE = 60.0
REFUSAL = re.compile(rf"^restate_identity: refused a request to .*?: ({'|'.join(Reason)}): ", re.MULTILINE)

Headers = Sequence[tuple[str, str | bytes]]


class Answer(NamedTuple):
    """An HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


class Server:
    """A server that listens on *port* and writes to *log*."""

    def __init__(self, port: int, log: Path) -> None:
        self.port = port
        self._log = log

    def request(self, path: str, headers: Headers = (), *, method: str = "POST", body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            connection.putrequest(method, path)
            connection.putheader("content-length", str(len(body)))
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def refusals(self, count: int) -> list[str]:
        """Wait until the log has *count* refusals in it, and return their reasons."""
        give_up_at = time.monotonic() + DEADLINE
        while True:
            reasons = REFUSAL.findall(self._log.read_text(errors="replace"))
            if len(reasons) >= count:
                return reasons
            assert time.monotonic() < give_up_at, f"{len(reasons)} refusals in the log, not {count}"
            time.sleep(0.02)


@contextmanager
def serve(program: str, *arguments: str, identity_key: str) -> Iterator[Server]:
    """Run the module *program* of this Python with *arguments*, where ``{port}`` stands for the port to listen on."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="served-") as folder:
        log = Path(folder, "log")
        argv = [sys.executable, "-m", program, *(part.format(port=port) for part in arguments)]
        env = {**os.environ, "IDENTITY_KEY": identity_key, "PYTHONPATH": str(ROOT)}
        with running(argv, log=log, env=env, cwd=Path(folder), ready=lambda: accepts_connections(port)):
            yield Server(port, log)


def gunicorn(app: str, *options: str) -> tuple[str, ...]:
    return (
        "gunicorn",
        "--bind=127.0.0.1:{port}",
        "--workers=1",
        "--worker-class=gthread",
        "--threads=4",
        # The control socket would lie in the home directory, and two servers would quarrel over it.
        "--no-control-socket",
        *options,
        app,
    )


def waitress(app: str) -> tuple[str, ...]:
    return ("waitress", "--listen=127.0.0.1:{port}", app)


def uvicorn(app: str, *options: str) -> tuple[str, ...]:
    return ("uvicorn", "--host=127.0.0.1", "--port={port}", "--log-level=warning", *options, app)
