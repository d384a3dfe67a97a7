"""Try mutants one after the other, in a copy of the project.

Each trial is a process forked from one that has loaded the tests' dependencies. The mutant replaces the module's file,
so the trial and the processes that its tests start all import the mutant.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

# All trials share the modules imported here; the package under test must not be one of them.
import base58  # noqa: F401
import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
import hypothesis  # noqa: F401
import jsonschema  # noqa: F401
import jwt  # noqa: F401
import nacl.bindings  # noqa: F401
import pytest

HERE = Path.cwd()
_SLOWEST = "slowest: "


def main() -> None:
    if "restate_identity" in sys.modules:
        raise RuntimeError("the package under test is loaded already: no trial would see a mutant")
    os.environ["PYTHONPATH"] = str(HERE)
    for line in sys.stdin:
        print(json.dumps(_tried(json.loads(line))), flush=True)


def _tried(task: dict[str, Any]) -> dict[str, Any]:
    """Put ``code`` in the place of ``file``, run ``tests``, and say how it ended.

    A test that takes more than ``seconds_for_a_test`` fails, so its mutant is noticed. A trial that takes more than
    ``timeout`` is hung.
    """
    file = HERE / task["file"]
    original = file.read_bytes()
    # Only the run without a mutant keeps bytecode: a mutant's may be as long and as old as the next one's.
    for stale in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        stale.unlink()
    sys.dont_write_bytecode = task["code"] is not None
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1" if task["code"] is not None else ""
    try:
        if task["code"] is not None:
            file.write_text(task["code"], "utf-8")
        started = time.monotonic()
        outcome, failed, slowest = _judged(task["tests"], task["timeout"], task["seconds_for_a_test"])
        seconds = round(time.monotonic() - started, 1)
        return {"outcome": outcome, "test": failed, "seconds": seconds, "slowest": slowest}
    finally:
        file.write_bytes(original)


def _judged(tests: list[str], timeout: float, seconds_for_a_test: float) -> tuple[str, str, float]:
    """Return the outcome, the test that failed, and how many seconds the slowest test took."""
    read, write = os.pipe()
    trial = os.fork()
    if not trial:
        os.setsid()
        _run(tests, seconds_for_a_test, write)
    os.close(write)
    deadline = time.monotonic() + timeout
    status = None
    while status is None and time.monotonic() < deadline:
        process, ended = os.waitpid(trial, os.WNOHANG)
        status = ended if process else None
        if status is None:
            time.sleep(0.02)
    # Servers that the tests started may have outlived them.
    try:
        os.killpg(trial, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if status is None:
        os.waitpid(trial, 0)
    with os.fdopen(read, "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        lines = (pipe.read() or b"").decode().splitlines()
    failed = "".join(line for line in lines if not line.startswith(_SLOWEST))
    slowest = max((float(line.removeprefix(_SLOWEST)) for line in lines if line.startswith(_SLOWEST)), default=0.0)
    outcome = "hung" if status is None else "killed" if status else "survived"
    return outcome, failed, slowest


def _run(tests: list[str], seconds_for_a_test: float, report: int) -> None:
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        warnings.simplefilter("ignore")
        arguments = ["-x", "-q", "-p", "no:cacheprovider", f"--timeout={seconds_for_a_test}"]
        # The worker has already imported modules that pytest would rewrite, because it is also a plugin.
        loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
        # One file after the other, since to collect all of them takes longer than most mutants live.
        for name in tests:
            status = pytest.main([*arguments, "-W", loaded, f"tests/{name}"], plugins=[_Reporter(report)])
            if status:
                break
    finally:
        os._exit(status)


class _Reporter:
    """Tells the worker which test noticed the mutant, and how many seconds the slowest test of a file took."""

    def __init__(self, report: int) -> None:
        self._report = report
        self._seconds: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds[report.nodeid] = self._seconds.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            os.write(self._report, report.nodeid.encode()[:512] + b"\n")

    def pytest_sessionfinish(self) -> None:
        os.write(self._report, f"{_SLOWEST}{max(self._seconds.values(), default=0.0)}\n".encode())


def prepared(copy: Path, root: Path) -> None:
    """Copy the files of *root* that git tracks, and new ones, to *copy*."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    for name in listed.stdout.decode().split("\0"):
        if name and (root / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((root / name).read_bytes())


if __name__ == "__main__":
    main()
