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
# How many seconds each test takes without a mutant. With one, a test that takes much longer fails, so that the mutant
# is noticed. A trial that takes longer than all its tests may is hung.
_USUAL: dict[str, float] = {}
_DURATIONS = HERE / "durations.json"


def main() -> None:
    if "restate_identity" in sys.modules:
        raise RuntimeError("the package under test is loaded already: no trial would see a mutant")
    os.environ["PYTHONPATH"] = str(HERE)
    for line in sys.stdin:
        print(json.dumps(_tried(json.loads(line))), flush=True)


def _tried(task: dict[str, Any]) -> dict[str, Any]:
    """Put ``code`` in the place of ``file``, run ``tests``, and say how it ended."""
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
        outcome, test = _judged(task["tests"], task["timeout"])
        if task["code"] is None and outcome == "survived":
            _USUAL.update(json.loads(_DURATIONS.read_text("utf-8")))
        return {"outcome": outcome, "test": test, "seconds": round(time.monotonic() - started, 1)}
    finally:
        file.write_bytes(original)


def _judged(tests: list[str], timeout: float) -> tuple[str, str]:
    read, write = os.pipe()
    trial = os.fork()
    if not trial:
        os.setsid()
        _run(tests, write)
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
        failed = (pipe.read() or b"").decode()
    if status is None:
        return "hung", failed
    return ("survived" if status == 0 else "killed"), failed


def _run(tests: list[str], report: int) -> None:
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        warnings.simplefilter("ignore")
        arguments = ["-x", "-q", "-p", "no:cacheprovider", "--timeout=120"]
        # The worker has already imported modules that pytest would rewrite, because it is also a plugin.
        loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
        # One file after the other, since to collect all of them takes longer than most mutants live.
        reporter = _Reporter(report)
        for name in tests:
            status = pytest.main([*arguments, "-W", loaded, f"tests/{name}"], plugins=[reporter])
            if status:
                break
        _DURATIONS.write_text(json.dumps(reporter.durations), "utf-8")
    finally:
        os._exit(status)


class _Reporter:
    """Limits the time of each test, measures it, and tells the worker which test noticed the mutant."""

    def __init__(self, report: int) -> None:
        self._report = report
        self.durations: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if item.nodeid in _USUAL:
                item.add_marker(pytest.mark.timeout(5 + 4 * _USUAL[item.nodeid]))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self.durations[report.nodeid] = self.durations.get(report.nodeid, 0.0) + report.duration
        if report.failed:
            os.write(self._report, report.nodeid.encode()[:512])


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
