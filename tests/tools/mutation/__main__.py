"""``make mutation``: try every mutant of the package; fail when one survives that is not known to be equivalent.

Killed mutants are recorded in ``build/mutation.jsonl``, so that a run that was stopped continues where it ended, and
the next run tries only what changed. What survived is tried again each time: there may be a test for it now.

``clean.json`` names the modules of which nothing was left unexplained, with the state of the module: with
``--changed``, a run on any machine tries only the others. It does not see that a test was lost, so a run without it is
due now and then.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tests.support import ROOT
from tests.tools.mutation.mutants import Change, Mutant, modules, mutants, source
from tests.tools.mutation.responsible import responsible_for
from tests.tools.mutation.worker import prepared

EQUIVALENT = Path(__file__).parent / "equivalent.json"
REMEMBERED = ROOT / "build" / "mutation.jsonl"
CLEAN = Path(__file__).parent / "clean.json"


class Worker:
    """A process that tries mutants in a copy of the project."""

    def __init__(self, copy: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.tools.mutation.worker"],
            cwd=copy,
            env={**_without_coverage(), "PYTHONPATH": str(copy)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tried(self, module: str, mutant: Mutant | None, timeout: float, *, near: bool = False) -> dict[str, Any]:
        assert self._process.stdin
        assert self._process.stdout
        file = f"restate_identity/{module.replace('.', '/')}.py"
        task: dict[str, Any] = {"file": file, "code": None, "tests": responsible_for(module), "timeout": timeout}
        if mutant:
            task |= {"code": mutant.code, "lines": mutant.lines, "near": near}
        print(json.dumps(task), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker ended with exit code {self._process.wait()}")
        outcome: dict[str, Any] = json.loads(line)
        return outcome

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def _without_coverage() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("COV")}


def main() -> int:
    parser = argparse.ArgumentParser(description="Mutation testing of the package.")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="only these, as paths or tunnel.wire (all)")
    parser.add_argument("--only", default="", help="only mutants of lines that contain this text")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--part", default="1/1", help="only the modules of this part, as 2/6: the second of six")
    parser.add_argument("--near", action="store_true", help="try only the tests that reach a mutant's line")
    parser.add_argument("--changed", action="store_true", help="only modules that changed since they were clean")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs found")
    parser.add_argument("--list", action="store_true", help="print how many mutants each module has, and try none")
    arguments = parser.parse_args()
    if unknown := set(arguments.modules) - set(modules()):
        parser.error(f"no such module: {', '.join(sorted(unknown))}; there are: {', '.join(modules())}")
    part, parts = map(int, arguments.part.split("/"))
    clean = _clean() if arguments.changed else {}
    chosen = {
        module: [mutant for mutant in mutants(module) if arguments.only in mutant.old]
        for module in (arguments.modules or modules())[part - 1 :: parts]
        if clean.get(module) != _state(module)
    }
    if arguments.list:
        print("\n".join(f"{module}: {len(found)}" for module, found in chosen.items()))
        return 0
    if arguments.fresh:
        REMEMBERED.unlink(missing_ok=True)
    started = time.monotonic()
    alive: list[tuple[Mutant, str]] = []
    with _workers(arguments.jobs) as workers:
        for module, everything in chosen.items():
            if everything:
                alive += _alive(module, everything, workers, near=arguments.near)
    odd = _reported(chosen, alive, arguments.only, time.monotonic() - started)
    if not arguments.only:
        _note_clean(set(chosen) - odd)
    return 1 if odd else 0


@contextmanager
def _workers(jobs: int) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        workers = []
        for _ in range(jobs):
            copy = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mutation-")))
            prepared(copy, ROOT)
            workers.append(Worker(copy))
            stack.callback(workers[-1].close)
        yield workers


def _alive(module: str, everything: list[Mutant], workers: list[Worker], *, near: bool) -> list[tuple[Mutant, str]]:
    """Return the mutants of *module* that were not noticed, each with "survived" or "hung"."""
    equivalent = _equivalent()
    killed = _remembered()
    left = [mutant for mutant in everything if mutant.digest not in killed]
    print(f"{module}: {len(everything)} mutants, {len(everything) - len(left)} killed before", flush=True)
    if not left:
        return []
    for worker in workers:
        unchanged = worker.tried(module, None, 1800)
        if unchanged["outcome"] != "survived":
            raise SystemExit(f"the tests of {module} fail without any mutant: {unchanged}")
    timeout = 60 + 4 * unchanged["seconds"]
    free: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)
    started, done = time.monotonic(), 0
    alive = []

    def tried(mutant: Mutant) -> tuple[Mutant, dict[str, Any]]:
        worker = free.get()
        try:
            is_near = near or mutant.change in equivalent
            return mutant, worker.tried(module, mutant, timeout, near=is_near)
        finally:
            free.put(worker)

    REMEMBERED.parent.mkdir(exist_ok=True)
    with ThreadPoolExecutor(len(workers)) as pool, REMEMBERED.open("a", encoding="utf-8") as memory:
        for mutant, outcome in pool.map(tried, left):
            done += 1
            if outcome["outcome"] == "killed":
                line = {"mutant": mutant.digest, "module": module, "by": outcome["test"]}
                print(json.dumps(line), file=memory, flush=True)
            else:
                alive.append((mutant, outcome["outcome"]))
                print(f"  {outcome['outcome']}: {mutant.old}  ->  {mutant.new}", flush=True)
            if done % 25 == 0 or done == len(left):
                seconds = time.monotonic() - started
                remaining = seconds / done * (len(left) - done)
                print(f"  {done} of {len(left)}, {len(alive)} alive, about {remaining:.0f} s to go", flush=True)
    return alive


def _remembered() -> set[str]:
    try:
        lines = REMEMBERED.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return set()
    return {json.loads(line)["mutant"] for line in lines if line.endswith("}")}


def _equivalent() -> Counter[Change]:
    """Return the changes that are known to change nothing, and for how many places of their module."""
    entries = json.loads(EQUIVALENT.read_text("utf-8"))
    return Counter(
        {Change(entry["module"], entry["old"], new): entry.get("times", 1) for entry in entries for new in entry["new"]}
    )


def _clean() -> dict[str, str]:
    clean: dict[str, str] = json.loads(CLEAN.read_text("utf-8"))
    return clean


def _note_clean(found: set[str]) -> None:
    clean = {module: state for module, state in _clean().items() if module in modules()}
    clean |= {module: _state(module) for module in found}
    CLEAN.write_text(json.dumps(clean, indent=2, sort_keys=True) + "\n", "utf-8")


def _state(module: str) -> str:
    return hashlib.sha256(source(module).encode()).hexdigest()[:16]


def _reported(chosen: dict[str, list[Mutant]], alive: list[tuple[Mutant, str]], only: str, seconds: float) -> set[str]:
    """Print the result, and return the modules of which something is unexplained."""
    equivalent = _equivalent()
    known = {change for change in equivalent if change.module in chosen and only in change.old}
    survived = Counter(mutant.change for mutant, _ in alive)
    surprising = [
        (mutant, outcome)
        for mutant, outcome in alive
        if outcome != "survived" or survived[mutant.change] > equivalent[mutant.change]
    ]
    stale = sorted(change for change in known if survived[change] < equivalent[change])
    print(f"\n{_table(chosen, alive, surprising)}\n\nin {seconds:.0f} s")
    for mutant, outcome in surprising:
        print(f"\n{outcome}, in {mutant.module}:\n  - {mutant.old}\n  + {mutant.new}")
    for module, old, new in stale:
        print(f"\nlisted as equivalent, but killed or gone in one place or all, in {module}:\n  - {old}\n  + {new}")
    return {mutant.module for mutant, _ in surprising} | {module for module, _, _ in stale}


def _table(
    chosen: dict[str, list[Mutant]], alive: list[tuple[Mutant, str]], surprising: list[tuple[Mutant, str]]
) -> str:
    all_ = Counter({module: len(found) for module, found in chosen.items()})
    living = Counter(mutant.module for mutant, _ in alive)
    odd = Counter(mutant.module for mutant, _ in surprising)
    lines = ["| module | mutants | killed | equivalent | unexplained |", "|---|---|---|---|---|"]
    for module in (*chosen, ""):
        mutants_, left, strange = (column[module] if module else column.total() for column in (all_, living, odd))
        lines.append(f"| {module or 'together'} | {mutants_} | {mutants_ - left} | {left - strange} | {strange} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
