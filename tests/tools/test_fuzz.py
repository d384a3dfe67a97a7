"""The fuzzer runs on every target, and finds bugs that are planted for it. `make fuzz` runs it for longer."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz.__main__ import NAMES
from tests.support import ROOT

pytest.importorskip("atheris", reason="atheris has wheels for CPython 3.11 to 3.13 on Linux x86-64 only")


def fuzz(folder: Path, target: str, seconds: float, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuzz", "--target", target, "--seconds", str(seconds), "--crashes", str(folder)]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_every_target_has_its_turn() -> None:
    # In a separate process, because the targets change how refusals are logged.
    print_them = "from fuzz.targets import TARGETS; print(*TARGETS)"
    printed = subprocess.check_output([sys.executable, "-c", print_them], cwd=ROOT, text=True)
    assert printed.split() == list(NAMES)


@pytest.mark.parametrize("target", NAMES)
def test_nothing_is_found_in(target: str, tmp_path: Path) -> None:
    done = fuzz(tmp_path, target, 2)

    assert done.returncode == 0, done.stdout
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith(target))
    assert int(row[1]) > 20, "it hardly ran"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("target", "bug", "seconds", "found"),
    [
        ("key", "exception", 200, "KeyError: 'planted'"),
        ("token", "forgery", 200, "Violation: accepted, and we did not sign it"),
        ("signature", "verdict", 200, "Violation: different verdicts by libsodium"),
        ("encrypted_value", "plaintext", 200, "Violation: decrypted, and we did not encrypt it"),
        ("destination", "openness", 200, "Violation: dialled, and no target names it"),
        ("token", "slowness", 200, "times the cost of a genuine one"),
        # The memory is watched after the first quarter; on a quick machine the fuzzer's own limit is reached before.
        ("token", "leak", 20, "Violation: memory grew by|/token-oom-"),
    ],
)
def test_a_planted_bug_is_found(target: str, bug: str, seconds: int, found: str, tmp_path: Path) -> None:
    done = fuzz(tmp_path, target, seconds, "--plant", bug)

    assert done.returncode == 1
    assert re.search(found, done.stdout)
    (kept,) = tmp_path.iterdir()
    assert str(kept) in done.stdout
