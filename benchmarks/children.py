"""Run child processes, and talk to them in lines of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from tests.support import ROOT


@contextmanager
def child(
    module: str, *arguments: str, env: Mapping[str, str] | None = None, quiet: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """Run *module* of this checkout with pipes, and kill it at the end of the block; a *quiet* one writes no errors."""
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def answer(process: subprocess.Popen[str]) -> Any:
    """Return the next line of JSON from *process*."""
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def ask(child: subprocess.Popen[str], command: Mapping[str, object], *, ended: Exception) -> Any:
    """Send *command* to *child* as a line of JSON, and return its answer; raise *ended* if the child is gone."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(json.dumps(command) + "\n")
    child.stdin.flush()
    line = child.stdout.readline()
    if not line:
        raise ended
    return json.loads(line)
