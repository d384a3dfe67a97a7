"""Child processes: those that listen on loopback are started, waited for, ended by their own id; others are asked."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
START_TIMEOUT = 60.0


@contextmanager
def started(command: list[str], port: int, env: Mapping[str, str]) -> Iterator[Callable[[], None]]:
    """Run `python -m *command*` until the block ends; yield a function that waits until it listens on *port*."""
    child = subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.DEVNULL
    )

    def wait() -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not _accepts(port):
            if child.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.05)

    try:
        yield wait
    finally:
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def ask(child: subprocess.Popen[str], command: Mapping[str, object], *, ended: Exception) -> Any:
    """Send *command* to *child* as a line of JSON, return the one that it answers with; raise *ended* if it is gone."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(command) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ended
    return json.loads(line)


def free_port() -> int:
    """Return a port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
