"""Fuzz one target until the time is over or an input breaks it, and end the process."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path

import atheris

from fuzz.cost import CostWatch
from fuzz.targets import TARGETS as PLAIN_TARGETS

# Import the code twice: the instrumented copy shows which code an input reaches, the plain copy what it costs.
# Instrumentation slows Python down several times, but not cryptography in C, so it would exaggerate the cost of loops.
for name in list(sys.modules):
    if name in ("fuzz.attempt", "fuzz.destinations", "fuzz.targets") or name.startswith(("restate_identity", "tests")):
        del sys.modules[name]

with atheris.instrument_imports(include=["restate_identity"]):
    from fuzz.attempt import Attempt, Violation
    from fuzz.targets import TARGETS

with atheris.instrument_imports(include=["fuzz.planted"]):
    from fuzz.planted import BUGS

NAMES = tuple(TARGETS)
PLANTED_IN = {bug: target for bug, (target, _) in BUGS.items()}
MAX_RATIO = 20
# In seconds: at first everything is used for the first time.
WARM_UP = 1
# libFuzzer keeps interesting inputs, some MiB; a leak of 100 bytes for each input is far more.
MAX_GROWTH = 64 * 2**20
# Longer than the maximum token of 16 KiB with everything around it.
MAX_LENGTH = 20_000


class Run:
    """The function that libFuzzer calls, with the checks after each input."""

    def __init__(self, name: str, seconds: float, folder: Path, bug: str | None) -> None:
        self._read = TARGETS[name].attempt
        self._read_plain = PLAIN_TARGETS[name].attempt
        self._plant = BUGS[bug][1] if bug else None
        self._folder = folder
        self.corpus = folder / "corpus"
        self.corpus.mkdir(parents=True, exist_ok=True)
        seeds = TARGETS[name].seeds()
        for number, seed in enumerate(seeds):
            (self.corpus / f"seed-{number:04}").write_bytes(seed[:MAX_LENGTH])
        genuine = self._read(seeds[0])
        genuine.judge(genuine.call())
        self._cost = CostWatch(self._read_plain(seeds[0]).call)
        self._executions = 0
        self._started = self._reported = time.monotonic()
        self._ends = self._started + seconds
        self._warm = self._started + WARM_UP
        self._resident: int | None = None
        self._growth = 0

    def one(self, data: bytes) -> None:
        self._executions += 1
        attempt = self._planted(data, self._read(data))
        attempt.judge(attempt.call())
        self._cost.measure(self._planted(data, self._read_plain(data)).call)
        if self._cost.worst > MAX_RATIO:
            raise Violation(f"{self._cost.worst:.0f} times the cost of a genuine one")
        now = time.monotonic()
        if now - self._reported > 0.5:
            self._reported = now
            self._watch_memory(now)
            self._report(now)
            if now > self._ends:
                # libFuzzer ends the process itself, so print this now.
                os._exit(0)

    def _planted(self, data: bytes, attempt: Attempt) -> Attempt:
        return self._plant(data, attempt) if self._plant else attempt

    def _watch_memory(self, now: float) -> None:
        if now < self._warm:
            return
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        self._resident = self._resident or resident
        self._growth = resident - self._resident
        if self._growth > MAX_GROWTH:
            raise Violation(f"memory grew by {self._growth / 2**20:.0f} MiB")

    def _report(self, now: float) -> None:
        figures = {
            "executions": self._executions,
            "per_second": self._executions / (now - self._started),
            "corpus": sum(1 for _ in self.corpus.iterdir()),
            "worst_ratio": self._cost.worst,
            "memory_growth": self._growth,
        }
        # Replace the file in one step, because libFuzzer may end the process at any moment.
        written = self._folder / "figures.json.part"
        written.write_text(json.dumps(figures))
        written.replace(self._folder / "figures.json")


def run(name: str, seconds: float, folder: Path, bug: str | None) -> None:
    """Fuzz; libFuzzer ends the process, with a status other than 0 if an input broke the target."""
    inputs = Run(name, seconds, folder, bug)
    options = [f"-max_len={MAX_LENGTH}", "-timeout=20", f"-artifact_prefix={folder}/"]
    atheris.Setup([sys.argv[0], *options, str(inputs.corpus)], inputs.one)
    atheris.Fuzz()
