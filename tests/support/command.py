"""Run the command `restate-identity` in this process, which takes a hundredth of the time of another one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from restate_identity.cli.main import run


def run_in_here(
    *arguments: str, stdin: str | bytes = b"", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Return what the command returned and wrote.

    Args:
        cwd: Its working directory; by default that of this process. Modules imported from there are forgotten.
        env: Its environment; by default that of this process.
    """
    given = io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin)
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["restate-identity", *arguments])
        patched.setattr(sys, "path", sys.path[:])
        patched.setattr(sys, "stdin", io.TextIOWrapper(given, "utf-8"))
        patched.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", write_through=True))
        patched.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", write_through=True))
        if env is not None:
            for name in os.environ.keys() - env.keys():
                patched.delenv(name)
            for name, value in env.items():
                patched.setenv(name, value)
        if cwd is not None:
            patched.chdir(cwd)
        try:
            status: int | str | None = run()
        except SystemExit as ended:
            status = ended.code
        if cwd is not None:
            for name, module in list(sys.modules.items()):
                if str(getattr(module, "__file__", None)).startswith(f"{cwd}{os.sep}"):
                    del sys.modules[name]
        return subprocess.CompletedProcess(sys.argv, int(status or 0), out.getvalue(), err.getvalue())


def run_as_text(
    *arguments: str, stdin: str | bytes = b"", cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Return what the command returned and wrote, as text."""
    done = run_in_here(*arguments, stdin=stdin, cwd=cwd, env=env)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
