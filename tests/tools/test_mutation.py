"""`make mutation`, with the few mutants of one line, of which one is known to be equivalent."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT


def test_of_the_mutants_of_a_line_all_are_killed_but_the_one_that_changes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.tools.mutation", "--only", 'if len(parts) == 4 and parts[1] == "invoke"'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    together = next(line for line in done.stdout.splitlines() if line.startswith("| together"))
    tried, killed, equivalent, unexplained = (int(cell) for cell in together.strip("|").split("|")[1:])
    assert (equivalent, unexplained) == (1, 0)
    assert tried == killed + 1 > 5
