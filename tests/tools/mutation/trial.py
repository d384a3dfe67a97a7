"""One mutant on trial, in a process of its own that has it in place of the module."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import signal
import sys
import warnings
from collections.abc import Sequence
from types import CodeType, ModuleType
from typing import Any

# What is imported here is imported once and shared by all trials; the package under test must not be among it.
import base58  # noqa: F401
import cryptography.hazmat.primitives.asymmetric.ed25519  # noqa: F401
import jsonschema  # noqa: F401
import jwt  # noqa: F401
import nacl.bindings  # noqa: F401
import pytest

from tests.tools.mutation.mutants import PACKAGE, Mutant
from tests.vectors.generate import recorded, suite

# The fast tests of the core, without the properties: what only chance would find deserves a test of its own.
TESTS = (
    "test_paths",
    "test_keys",
    "test_ed25519",
    "test_reasons",
    "test_verifier",
    "test_recorded_requests",
)
TIMEOUT = 300
VECTORS = [case for file in (*suite().values(), recorded()) for case in file["cases"]]


class _Mutated(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, code: str) -> None:
        super().__init__(name, path)
        self._mutated = code

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._mutated, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:  # noqa: ARG002
        if fullname != f"restate_identity.{self._mutant.module}":
            return None
        file = str(PACKAGE / f"{self._mutant.module}.py")
        return importlib.util.spec_from_file_location(
            fullname, file, loader=_Mutated(fullname, file, self._mutant.code)
        )


def start(mutant: Mutant) -> int:
    """Begin the trial of *mutant*; return the id of the process, whose exit status is 0 if the mutant survives."""
    if "restate_identity.errors" in sys.modules:
        raise RuntimeError("the package under test is loaded already: no trial would see a mutant")
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        signal.alarm(TIMEOUT)  # a mutant may loop for ever; being ended by the alarm is a failure as well
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(null, descriptor)
        warnings.simplefilter("ignore")
        sys.meta_path.insert(0, _Finder(mutant))
        status = 0 if _vectors_pass() and _tests_pass() else 1
    finally:
        os._exit(status)


def _vectors_pass() -> bool:
    """The vectors without pytest: most mutants fall here, in a moment."""
    from tests.core.test_vectors import judged

    for case in VECTORS:
        outcome = judged(case)
        if (outcome if isinstance(outcome, str) else None) != case["reason"]:
            return False
        if case["verdict"] == "valid" and getattr(outcome, "subject", None) != case["subject"]:
            return False
    return True


def _tests_pass() -> bool:
    files = [str(PACKAGE.parent / "tests" / "core" / f"{name}.py") for name in TESTS]
    # The vectors have imported what pytest would like to rewrite, being also a plugin of its own.
    loaded = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"
    return pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", loaded, *files]) == 0
