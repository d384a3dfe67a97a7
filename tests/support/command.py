"""Run the command `restate-identity` in this process, which takes a hundredth of the time of another one."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from restate_identity.cli.main import run


def run_in_here(*arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Return what the command returned and wrote."""
    given = io.BytesIO(stdin.encode() if isinstance(stdin, str) else stdin)
    out, err = io.BytesIO(), io.BytesIO()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["restate-identity", *arguments])
        patched.setattr(sys, "stdin", io.TextIOWrapper(given, "utf-8"))
        patched.setattr(sys, "stdout", io.TextIOWrapper(out, "utf-8", write_through=True))
        patched.setattr(sys, "stderr", io.TextIOWrapper(err, "utf-8", write_through=True))
        try:
            status: int | str | None = run()
        except SystemExit as ended:
            status = ended.code
        return subprocess.CompletedProcess(sys.argv, int(status or 0), out.getvalue(), err.getvalue())
