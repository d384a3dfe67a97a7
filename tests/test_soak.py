"""A short soak is clean, and one of an application with a bug is not. `make soak` runs it for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def soak(program: Path, seconds: int, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "soak", "--seconds", str(seconds), "--flood", "20000", *options],
        cwd=ROOT,
        env={**os.environ, "RESTATE_SERVER_BIN": str(program)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_short_soak_finds_nothing_wrong(restate_program: Path) -> None:
    done = soak(restate_program, 15)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 violations" in done.stdout


@pytest.mark.parametrize(
    ("bug", "noticed"),
    [
        ("unguarded", "gunicorn: answered with 200: scheme 'unsigned'"),
        ("deaf", "uvicorn: a genuine request was answered with 401"),
        ("error", "gunicorn printed: ERROR planted: planted"),
    ],
)
def test_a_planted_bug_is_noticed(bug: str, noticed: str, restate_program: Path) -> None:
    done = soak(restate_program, 5, "--plant", bug)

    assert done.returncode == 1, done.stderr
    assert noticed in done.stdout
