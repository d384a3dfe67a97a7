"""Start child processes that never outlive us: each has its own process group, and is ended by its id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

POLL_INTERVAL = 0.05
# With the commands of the environment that the tests run in.
PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ChildFailedError(RuntimeError):
    """A child process ended, or was not ready in time. The message ends with the last lines of its log."""


def free_port() -> int:
    """Return a TCP port of the loopback interface on which nothing listens now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def started(
    argv: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    patience: float = 15.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start *argv* with its output in *log*; at the end of the block, end it and all processes that it started.

    Args:
        patience: Seconds to wait after asking it to end; then it is killed.
    """
    child = None
    try:
        with log.open("ab") as output, interrupts_held_back():
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                # A separate group, so that Ctrl-C in the terminal reaches only us, and we end the children in order.
                start_new_session=True,
            )
        yield child
    finally:
        if child is not None:
            _end(child, patience)


@contextmanager
def running(
    argv: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline: float = 60.0,
    patience: float = 15.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Like `started`, but enter the block only when *ready* returns True.

    Args:
        deadline: How many seconds to wait for that.
        patience: As for `started`.

    Raises:
        ChildFailedError: The process ended first, or the deadline passed.
    """
    with started(argv, log=log, env=env, cwd=cwd, patience=patience) as child:
        give_up_at = time.monotonic() + deadline
        while not ready():
            if child.poll() is not None:
                raise ChildFailedError(f"{argv[0]} ended with status {child.returncode}:\n{last_lines(log)}")
            if time.monotonic() > give_up_at:
                raise ChildFailedError(f"{argv[0]} was not ready after {deadline:g} s:\n{last_lines(log)}")
            time.sleep(POLL_INTERVAL)
        yield child


def ran(*argv: str | Path, seconds: float = 120.0, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run *argv* to its end, and return its exit status and what it printed.

    Args:
        seconds: How long it may take.
        options: Further options of `subprocess.run`.
    """
    return subprocess.run(argv, capture_output=True, encoding="utf-8", timeout=seconds, check=False, **options)


def last_lines(log: Path, count: int = 20) -> str:
    """Return the end of a log file."""
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-count:])


def accepts_connections(port: int) -> bool:
    """Return whether something listens on *port* of the loopback interface."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def _end(child: subprocess.Popen[bytes], patience: float) -> None:
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(patience)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # End the group, not the child: processes that it started may outlive it.
        _signal_group(child, signal.SIGKILL)
        child.wait()


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        os.killpg(child.pid, number)
    except ProcessLookupError:  # all gone
        pass
    except PermissionError:  # macOS says this of a group that has only a zombie left
        pass


@contextmanager
def interrupts_held_back() -> Iterator[None]:
    """Delay the signals that stop us until the end of the block, so that it is not left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (the signature is given)
        received.append(number)

    handlers = {number: signal.signal(number, note) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for held in received:
            signal.raise_signal(held)
