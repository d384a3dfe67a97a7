"""The fuzzer runs on every target, and finds bugs that are planted for it. `make fuzz` runs it for longer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT

pytest.importorskip("atheris", reason="atheris has wheels for CPython 3.11 to 3.13 on Linux x86-64 only")

TARGETS = {"token", "claims", "asgi", "wsgi", "aws_lambda", "key", "signature", "encrypted_value", "destination"}
FOUND = {
    "exception": "KeyError: 'planted'",
    "forgery": "Violation: accepted, and we did not sign it",
    "verdict": "Violation: different verdicts by libsodium",
    "plaintext": "Violation: decrypted, and we did not encrypt it",
    "openness": "Violation: dialled, and no target names it",
    "slowness": "times the cost of a genuine one",
    # On a quick machine the fuzzer's own limit is reached first.
    "leak": "Violation: memory grew by|/token-oom-",
}


def fuzz(folder: Path, seconds: float, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuzz", "--seconds", str(seconds), "--crashes", str(folder), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)


def test_nothing_is_found_in_any_target(tmp_path: Path) -> None:
    done = fuzz(tmp_path, 1)

    assert done.returncode == 0, done.stdout
    executions = {row[0]: int(row[1]) for row in map(str.split, done.stdout.splitlines()) if row[0] in TARGETS}
    assert executions.keys() == TARGETS
    assert min(executions.values()) > 5, "it hardly ran"
    assert list(tmp_path.iterdir()) == []


def test_planted_bugs_are_found(tmp_path: Path) -> None:
    done = fuzz(tmp_path, 200, *(f"--plant={bug}" for bug in FOUND))

    assert done.returncode == 1
    reports = re.split(r"(?<=FAILED).*\n", done.stdout)
    assert len(reports) == len(FOUND) + 1
    for found, report in zip(FOUND.values(), reports, strict=False):
        assert re.search(found, report), done.stdout
    kept = list(tmp_path.iterdir())
    assert len(kept) == len(FOUND)
    assert all(str(file) in done.stdout for file in kept)
