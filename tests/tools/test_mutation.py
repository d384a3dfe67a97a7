"""`make mutation`, with the few mutants of a module's lines, of which two are known to be equivalent."""

from __future__ import annotations

import sys

from tests.support import ROOT
from tests.support.processes import ran
from tests.tools.mutation.mutants import modules
from tests.tools.mutation.responsible import responsible_for


def test_of_the_mutants_of_some_lines_all_are_killed_but_the_two_that_change_nothing() -> None:
    command = (sys.executable, "-m", "tests.tools.mutation", "tunnel.backoff", "--jobs", "1", "--only", "served_for")
    done = ran(*command, cwd=ROOT, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    together = next(line for line in done.stdout.splitlines() if line.startswith("| together"))
    tried, killed, equivalent, unexplained = (int(cell) for cell in together.strip("|").split("|")[1:])
    assert (equivalent, unexplained) == (2, 0)
    assert tried == killed + 2 > 5


def test_for_every_module_there_are_tests_that_are_responsible() -> None:
    for module in modules():
        for name in responsible_for(module):
            file, _, part = name.partition("::")
            text = (ROOT / "tests" / file).read_text("utf-8")
            assert not part or f"class {part}:" in text or f"def {part}(" in text, module
