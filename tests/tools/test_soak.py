"""A short soak is clean, and one of applications with bugs is not. `make soak` runs it for longer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT
from tests.support.processes import ran


def soak(program: Path, seconds: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "soak", "--seconds", str(seconds), "--flood", "2000", *options)
    return ran(*command, cwd=ROOT, env={**os.environ, "RESTATE_SERVER_BIN": str(program)}, seconds=300)


def test_a_short_soak_finds_nothing_wrong(restate_program: Path) -> None:
    done = soak(restate_program, 4)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n0 violations" in done.stdout


def test_planted_bugs_are_noticed(restate_program: Path) -> None:
    done = soak(restate_program, 4, "--plant=unguarded", "--plant=deaf", "--plant=error", "--plant=leak")

    assert done.returncode == 1, done.stderr
    assert "gunicorn: answered with 200: headers: a server without a key" in done.stdout
    assert "uvicorn: a genuine request was answered with 401" in done.stdout
    assert "gunicorn printed: ERROR planted: planted" in done.stdout
    assert "tunnel: memory grew" in done.stdout
