"""Try mutants one after the other, in a copy of the project.

Each trial is a process forked from one that has loaded the tests' dependencies. The mutant replaces the module's file,
so the trial and the processes that its tests start all import the mutant. The tests that reach the changed line run
first; if none of them fails, all run.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

# All trials share the modules imported here; the package under test must not be one of them.
import base58  # noqa: F401
import coverage
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
# Which tests reach a line of a file, by the tests that ran. The name "" stands for the import of the file.
_REACHED: dict[tuple[str, ...], dict[str, dict[int, set[str]]]] = {}
_MEASURED = HERE / "measured.json"
# How many seconds a trial may still take after a test has failed.
_FAREWELL = 5.0


def main() -> None:
    if "restate_identity" in sys.modules:
        raise RuntimeError("the package under test is loaded already: no trial would see a mutant")
    os.environ.update(PYTHONPATH=str(HERE), MEASURE_ALL_TESTS="1")
    for line in sys.stdin:
        print(json.dumps(_tried(json.loads(line))), flush=True)


def _tried(task: dict[str, Any]) -> dict[str, Any]:
    """Put ``code`` in the place of ``file``, run ``tests``, and say how it ended."""
    started = time.monotonic()
    outcome, test = _unchanged(task) if task["code"] is None else _mutated(task)
    return {"outcome": outcome, "test": test, "seconds": round(time.monotonic() - started, 1)}


def _unchanged(task: dict[str, Any]) -> tuple[str, str]:
    """Run the tests without a mutant, and remember what they reach and how long they take."""
    tests = tuple(task["tests"])
    if tests in _REACHED:
        return "survived", ""
    outcome, test = _judged(tests, task["timeout"], is_measured=True)
    if outcome == "survived":
        measured = json.loads(_MEASURED.read_text("utf-8"))
        _USUAL.update(measured["durations"])
        _REACHED[tests] = {
            file: {int(line): set(names) for line, names in lines.items()}
            for file, lines in measured["reached"].items()
        }
    return outcome, test


def _mutated(task: dict[str, Any]) -> tuple[str, str]:
    file = HERE / task["file"]
    original = file.read_bytes()
    # Only the run without a mutant keeps bytecode: a mutant's may be as long and as old as the next one's.
    for stale in (file.parent / "__pycache__").glob(f"{file.stem}.*"):
        stale.unlink()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    try:
        file.write_text(task["code"], "utf-8")
        near = _reaching(_REACHED[tuple(task["tests"])].get(str(file), {}), *task["lines"])
        outcome, test = _judged(_files(near), task["timeout"], only=near) if near else ("survived", "")
        if outcome == "survived" and not (near and task["near"]):
            outcome, test = _judged(task["tests"], task["timeout"])
        return outcome, test
    finally:
        file.write_bytes(original)
        sys.dont_write_bytecode = False
        os.environ["PYTHONDONTWRITEBYTECODE"] = ""


def _reaching(reached: dict[int, set[str]], first: int, last: int) -> set[str]:
    """Return the tests that reach one of these lines; none if the import of the file does, since then all tests do."""
    # A part of a statement may have no line of its own.
    while first > 1 and not any(line in reached for line in range(first, last + 1)):
        first -= 1
    reaching = set[str]().union(*(reached.get(line, ()) for line in range(first, last + 1)))
    return set() if "" in reaching else reaching


def _files(tests: set[str]) -> list[str]:
    """Return the files of *tests*, those first whose tests take the least time."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for test in tests:
        seconds[test.partition("::")[0].removeprefix("tests/")] += _USUAL[test]
    return sorted(seconds, key=seconds.__getitem__)


def _judged(
    tests: Iterable[str], timeout: float, *, only: set[str] | None = None, is_measured: bool = False
) -> tuple[str, str]:
    """Run the files *tests*, or *only* these tests in them, and say how that ended and which test failed."""
    read, write = os.pipe()
    trial = os.fork()
    if not trial:
        os.setsid()
        _run(tests, _Reporter(write, only, is_measured=is_measured))
    os.close(write)
    deadline = time.monotonic() + timeout
    status, failed = None, b""
    while status is None and time.monotonic() < deadline:
        process, ended = os.waitpid(trial, os.WNOHANG)
        status = ended if process else None
        if not failed and select.select([read], [], [], 0)[0]:
            failed = os.read(read, 512)
            # A test has noticed the mutant. What it started may never end because of that.
            deadline = min(deadline, time.monotonic() + _FAREWELL)
        if status is None:
            time.sleep(0.02)
    # Servers that the tests started may have outlived them.
    try:
        os.killpg(trial, signal.SIGKILL)
    except ProcessLookupError:
        pass
    if status is None:
        os.waitpid(trial, 0)
    os.close(read)
    if failed or status:
        return "killed", failed.decode()
    return ("hung" if status is None else "survived"), ""


def _run(tests: Iterable[str], reporter: _Reporter) -> None:
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
        for name in tests:
            status = pytest.main([*arguments, "-W", loaded, f"tests/{name}"], plugins=[reporter])
            if status:
                break
        reporter.end()
    finally:
        os._exit(status)


class _Reporter:
    """Limits the time of each test, measures it, and tells the worker which test noticed the mutant."""

    def __init__(self, report: int, only: set[str] | None, *, is_measured: bool) -> None:
        self._report = report
        self._only = only
        self._durations: dict[str, float] = {}
        self._coverage = None
        if is_measured:
            package = str(HERE / "restate_identity")
            self._coverage = coverage.Coverage(data_file=None, config_file=False, source=[package])
            self._coverage.start()

    def end(self) -> None:
        if self._coverage:
            self._coverage.stop()
            data = self._coverage.get_data()
            reached = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
            _MEASURED.write_text(json.dumps({"durations": self._durations, "reached": reached}), "utf-8")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        if self._coverage:
            self._coverage.switch_context(item.nodeid)
        return (yield)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if self._only is None or item.nodeid in self._only]
        # Those first that take the least time, with what they share: most mutants do not outlive them.
        items.sort(key=lambda item: _USUAL.get(item.nodeid, 0.0))
        for item in items:
            if item.nodeid in _USUAL:
                # It ends the trial. An exception raised by a signal could end up in a task of asyncio, unnoticed.
                item.add_marker(pytest.mark.timeout(5 + 4 * _USUAL[item.nodeid], method="thread"))

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._durations[report.nodeid] = self._durations.get(report.nodeid, 0.0) + report.duration
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
