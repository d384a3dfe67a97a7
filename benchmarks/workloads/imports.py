"""Measure the time that `import restate_identity.asgi` adds to the start of an interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from time import perf_counter_ns

from benchmarks.measure import Case, per_round
from benchmarks.session import Outcome, Session
from restate_identity import ED25519_IMPLEMENTATION

BARE = "python -c pass"
OURS = "import restate_identity.asgi"
NACL = "import nacl.bindings"
WITHOUT = "import restate_identity.asgi without the accelerator"
IS_ACCELERATED = ED25519_IMPLEMENTATION != "libsodium"
FORBIDDEN = ("cryptography", "jwt")
LOADED = "modules of cryptography and jwt loaded by it"


def run(session: Session) -> Outcome:
    """Start interpreters, one after the other, that import nothing, this project, and its dependencies."""
    statements = {BARE: "pass", OURS: OURS, NACL: NACL}
    with tempfile.TemporaryDirectory() as bytecode:
        # An installer writes the bytecode of a package. Here, listing the modules writes it.
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        modules = {name: _modules(statement, environment) for name, statement in statements.items()}
        cases = [_start(name, statement, environment) for name, statement in statements.items()]
        if IS_ACCELERATED:
            # `make bench` names its folder here.
            cases.append(_start(WITHOUT, OURS, {**environment, "PYTHONPATH": ""}))
        samples = session.interleave(
            cases,
            rounds=session.scale.starts,
        )
    unwanted = [name for name in modules[OURS] if name.partition(".")[0] in FORBIDDEN]
    facts = {
        name: {
            "modules": len(loaded),
            "beyond bare, ms": sorted(per_round(samples, name, BARE, None))[len(samples[name]) // 2] / 1e6,
        }
        for name, loaded in modules.items()
    }
    samples[LOADED] = [float(len(unwanted))]
    return Outcome(samples, units={LOADED: "count"}, facts=facts)


def _start(name: str, statement: str, environment: Mapping[str, str]) -> Case:
    def sample() -> float:
        start = perf_counter_ns()
        subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
        return perf_counter_ns() - start

    return Case(name, sample)


def _modules(statement: str, environment: Mapping[str, str]) -> list[str]:
    code = f"{statement}\nimport json, sys; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    names: list[str] = json.loads(shown.stdout)
    return names
