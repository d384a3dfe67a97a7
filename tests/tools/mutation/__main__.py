"""``make mutation``: try every mutant of the core; fail when one survives that is not known to be equivalent."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.tools.mutation import trial
from tests.tools.mutation.mutants import PACKAGE, Mutant, mutants

EQUIVALENT = Path(__file__).parent / "equivalent.json"


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the core.")
    parser.add_argument("--only", default="", help="only mutants of lines that contain this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    started = time.monotonic()
    if not _survivors([_unchanged()], 1):
        print("the tests fail without any mutant")
        return 1
    everything = [mutant for mutant in mutants() if arguments.only in mutant.old]
    print(f"the tests pass without a mutant; {len(everything)} mutants to try", flush=True)
    survivors = _survivors(everything, arguments.jobs)
    known = {(entry["module"], entry["old"], new) for entry in _equivalent() for new in entry["new"]}
    surprising = [mutant for mutant in survivors if (mutant.module, mutant.old, mutant.new) not in known]
    tried = {(mutant.module, mutant.old, mutant.new) for mutant in survivors}
    stale = [entry for entry in known if entry not in tried and arguments.only in entry[1]]
    print(f"\n{_table(everything, survivors, surprising)}\n\nin {time.monotonic() - started:.0f} s")
    for mutant in surprising:
        print(f"\nsurvived, in {mutant.module}:\n  - {mutant.old}\n  + {mutant.new}")
    for module, old, new in stale:
        print(f"\nlisted as equivalent, but killed or gone, in {module}:\n  - {old}\n  + {new}")
    return 1 if surprising or stale else 0


def _unchanged() -> Mutant:
    return Mutant("paths", (PACKAGE / "paths.py").read_text("utf-8"), "", "")


def _survivors(tried: list[Mutant], jobs: int) -> list[Mutant]:
    survivors, running = [], dict[int, Mutant]()
    for number, mutant in enumerate([*tried, *[None] * jobs]):
        if mutant is not None:
            running[trial.start(mutant)] = mutant
        if running and (mutant is None or len(running) >= jobs):
            process, status = os.wait()
            finished = running.pop(process)
            if status == 0:
                survivors.append(finished)
                if finished.old:
                    print(f"survived, in {finished.module}: {finished.old}  ->  {finished.new}", flush=True)
        if number % 100 == 99:
            print(f"{number + 1} tried, {len(survivors)} survive", flush=True)
    return survivors


def _equivalent() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = json.loads(EQUIVALENT.read_text("utf-8"))
    return entries


def _table(tried: list[Mutant], survivors: list[Mutant], surprising: list[Mutant]) -> str:
    columns = [Counter(mutant.module for mutant in mutants_) for mutants_ in (tried, survivors, surprising)]
    lines = ["| module | mutants | killed | equivalent | unexplained |", "|---|---|---|---|---|"]
    for module in (*columns[0], ""):
        all_, alive, odd = (column[module] if module else column.total() for column in columns)
        lines.append(f"| {module or 'together'} | {all_} | {all_ - alive} | {alive - odd} | {odd} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
