"""Every server that runs the applications, each in a process of its own; started as by its command line.

Importing all these frameworks takes seconds. So one process imports them, and forks a child for each server: run as
``python -m tests.servers.frameworks.servers '[[PROGRAM, ARGUMENT, …], …]'``.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support import ROOT
from tests.support.processes import accepts_connections, free_port, last_lines, running

ASGI, WSGI = "tests.servers.frameworks.asgi", "tests.servers.frameworks.wsgi"
_UVICORN = ("uvicorn", f"{ASGI}:app", "--port={port}", "--log-level=critical", "--no-access-log")
_GRANIAN = ("granian", "--host=127.0.0.1", "--port={port}", "--log-level=critical", "--no-access-log")
_OWN = "tests.servers.frameworks.wsgi_servers"

# Raise the servers' limits for request lines, so that the guard sees long ones.
COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn h11": (*_UVICORN, "--http=h11", "--h11-max-incomplete-event-size=200000"),
    "uvicorn httptools": (*_UVICORN, "--http=httptools"),
    # In the process itself, not in a worker, which would import everything again.
    "hypercorn": ("hypercorn", f"{ASGI}:app", "--bind=127.0.0.1:{port}", "--workers=0", "--log-level=critical"),
    "granian": (*_GRANIAN, "--interface=asgi", f"{ASGI}:app"),
    "granian wsgi": (*_GRANIAN, "--interface=wsgi", f"{WSGI}:app"),
    "gunicorn": (
        "gunicorn",
        "--bind=127.0.0.1:{port}",
        "--worker-class=gthread",
        "--threads=4",
        "--limit-request-line=0",
        "--no-control-socket",
        "--log-level=critical",
        f"{WSGI}:app",
    ),
    "waitress": (
        "waitress",
        "--listen=127.0.0.1:{port}",
        "--threads=4",
        "--max-request-header-size=200000",
        f"{WSGI}:app",
    ),
    "werkzeug": (_OWN, "werkzeug", "{port}"),
    "wsgiref": (_OWN, "wsgiref", "{port}"),
    "lambda": ("tests.servers.frameworks.lambda_runtime", "{port}"),
}


ASGI_FRAMEWORKS = (
    "starlette",
    "fastapi",
    "fastapi-dependency",
    "django",
    "django-middleware",
    "sanic",
    "quart",
    "litestar",
    "blacksheep",
    "falcon",
    "restate",
)
WSGI_FRAMEWORKS = ("flask", "falcon", "django", "django-middleware")
_ON_LAMBDA = (
    *(
        f"mangum-{place}-{name}"
        for place in ("outside", "inside")
        for name in ("starlette", "fastapi", "quart", "litestar", "falcon")
    ),
    *(
        f"{adapter}-{place}-{name}"
        for adapter in ("apig-wsgi", "serverless-wsgi")
        for place in ("outside", "inside")
        for name in ("flask", "falcon")
    ),
    "sdk-outside-restate",
)


class Endpoint(NamedTuple):
    """A server, the version of HTTP to speak with it, none of Lambda, and the applications that it runs."""

    server: str
    http: int
    frameworks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.server}, HTTP/{self.http}" if self.http else self.server


ENDPOINTS = (
    Endpoint("uvicorn h11", 1, ASGI_FRAMEWORKS),
    Endpoint("uvicorn httptools", 1, ASGI_FRAMEWORKS),
    Endpoint("hypercorn", 1, ASGI_FRAMEWORKS),
    Endpoint("hypercorn", 2, ASGI_FRAMEWORKS),
    Endpoint("granian", 1, ASGI_FRAMEWORKS),
    Endpoint("granian", 2, ASGI_FRAMEWORKS),
    Endpoint("granian wsgi", 1, WSGI_FRAMEWORKS),
    Endpoint("granian wsgi", 2, WSGI_FRAMEWORKS),
    Endpoint("gunicorn", 1, WSGI_FRAMEWORKS),
    Endpoint("waitress", 1, WSGI_FRAMEWORKS),
    Endpoint("werkzeug", 1, WSGI_FRAMEWORKS),
    Endpoint("wsgiref", 1, WSGI_FRAMEWORKS),
    Endpoint("lambda", 0, _ON_LAMBDA),
)


@contextmanager
def served(names: Collection[str], *, identity_key: str) -> Iterator[dict[str, int]]:
    """Run the servers of these *names*; yield the port of each."""
    ports = {name: free_port() for name in names}
    commands = [[part.format(port=port) for part in COMMANDS[name]] for name, port in ports.items()]
    argv = [sys.executable, "-m", __name__, json.dumps(commands)]
    env = {**os.environ, "IDENTITY_KEY": identity_key, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory(prefix="frameworks-") as folder:
        log = Path(folder, "log")

        def ready() -> bool:
            return all(map(accepts_connections, ports.values()))

        with running(argv, log=log, env=env, cwd=Path(folder), ready=ready, deadline=180.0):
            try:
                yield ports
            except BaseException:
                print(last_lines(log, 40), file=sys.stderr)
                raise


def main() -> None:
    importlib.import_module(ASGI)
    importlib.import_module(WSGI)
    children = [_forked(argv) for argv in json.loads(sys.argv[1])]

    def stop(*_: object) -> None:
        for child in children:
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    pid, status = os.wait()
    sys.exit(f"process {pid} of {children} ended with status {os.waitstatus_to_exitcode(status)}")


def _forked(argv: list[str]) -> int:
    child = os.fork()
    if child:
        return child
    sys.argv = argv
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
    except BaseException:  # noqa: BLE001 (the child must not come back)
        traceback.print_exc()
    os._exit(1)


if __name__ == "__main__":
    main()
