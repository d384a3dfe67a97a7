"""Real HTTP servers in processes of their own, and a client that sends what it is told, byte for byte."""

from __future__ import annotations

import http.client
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import psutil

from restate_identity import Reason
from tests.support import ROOT
from tests.support.eventually import eventually
from tests.support.processes import accepts_connections, free_port, running

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

    def __init__(self, port: int, log: Path, pid: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.pid = pid
        self._process = psutil.Process(pid)

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

    @property
    def printed(self) -> str:
        return self.log.read_text(errors="replace")

    def memory(self) -> int:
        """Return how many bytes of memory the server and its workers take."""
        return sum(process.memory_info().rss for process in self._processes())

    def open_files(self) -> list[str]:
        """Return what the server has open, as Linux describes it."""
        folders = [Path(f"/proc/{process.pid}/fd") for process in self._processes()]
        return [str(descriptor.readlink()) for folder in folders for descriptor in folder.iterdir()]

    def _processes(self) -> list[psutil.Process]:
        """Return the server and its workers."""
        return [self._process, *self._process.children(recursive=True)]

    def refusals(self, count: int) -> list[str]:
        """Wait until the log has *count* refusals in it, and return their reasons."""
        eventually(lambda: len(REFUSAL.findall(self.printed)) >= count, failure=f"not {count} refusals in the log")
        return REFUSAL.findall(self.printed)


@contextmanager
def serve(
    *command: str,
    env: Mapping[str, str] | None = None,
    identity_key: str | None = None,
    port: int | None = None,
    log: Path | None = None,
    cwd: Path | None = None,
    patience: float = 2.0,
) -> Iterator[Server]:
    """Run *command*, with ``{port}`` replaced by the port, and yield the server when it listens.

    It can import from this repository wherever it runs.

    Args:
        env: Variables beside those of this process.
        identity_key: The variable ``IDENTITY_KEY``, for short.
        port: A free one by default.
        log: Where what it prints goes; a temporary file by default.
        cwd: Where it runs; a temporary folder by default.
        patience: As for `started`. The SDK takes SIGTERM away from some servers, which then do not end by themselves.
    """
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="served-") as temporary:
        folder = Path(temporary)
        log = log or folder / "log"
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        variables = {**os.environ, "PYTHONPATH": path, **(env or {})}
        if identity_key is not None:
            variables["IDENTITY_KEY"] = identity_key
        with running(
            [part.replace("{port}", str(port)) for part in command],
            log=log,
            env=variables,
            cwd=cwd or folder,
            ready=lambda: accepts_connections(port),
            patience=patience,
        ) as child:
            yield Server(port, log, child.pid)


@contextmanager
def in_a_thread(server: HTTPServer) -> Iterator[str]:
    """Let *server* serve in this process until the end of the block, and yield its URL."""
    with server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            host, port = server.server_address[:2]
            yield f"http://{host!s}:{port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def thread_that_serves(run: Callable[[], None], port: int) -> Iterator[None]:
    """Call *run* in a thread, wait until it listens on *port*, and after the block until it returns, when told to."""
    thread = Thread(target=run, daemon=True)
    thread.start()
    eventually(lambda: accepts_connections(port), failure="the server does not listen")
    try:
        yield
    finally:
        thread.join(10)


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs *module* in this Python."""
    return (sys.executable, "-m", module, *arguments)


def gunicorn(app: str, *options: str) -> tuple[str, ...]:
    return python(
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
    return python("waitress", "--listen=127.0.0.1:{port}", app)


def uvicorn(app: str, *options: str) -> tuple[str, ...]:
    return python("uvicorn", "--host=127.0.0.1", "--port={port}", "--log-level=warning", *options, app)


def hypercorn(app: str, *options: str) -> tuple[str, ...]:
    return python("hypercorn", "--bind=127.0.0.1:{port}", *options, app)


def daphne(app: str) -> tuple[str, ...]:
    return python("daphne", "--bind=127.0.0.1", "--port={port}", "--verbosity=0", app)


def granian(app: str, *options: str) -> tuple[str, ...]:
    return python("granian", "--interface=asgi", "--host=127.0.0.1", "--port={port}", *options, app)
