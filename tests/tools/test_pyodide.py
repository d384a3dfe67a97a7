"""Pyodide: all vectors under Node, with the verdicts of libsodium; and where a missing PyNaCl stays an error."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import coverage
import pytest

from restate_identity import InvalidKeyError, PublicKey
from tests.support import ROOT
from tests.support.pyodide import PINNED, PyodideUnavailable, run_in_pyodide

VECTORS = ROOT / "tests" / "vectors"
# In a worker of pytest-xdist, child processes are measured only if a test asks for it.
MEASURED = {} if coverage.Coverage.current() is None else {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")}
# Stands for Pyodide on CPython: the name of the platform, no PyNaCl, and OpenSSL, which is what Node's crypto is.
STAND_IN = """
import sys
import types
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_der_public_key


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name == "nacl":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


class Crypto:
    def createPublicKey(self, options):
        assert options["format"] == "der" and options["type"] == "spki"
        return load_der_public_key(options["key"])

    def verify(self, algorithm, message, key, signature):
        try:
            key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


sys.platform = "emscripten"
sys.meta_path.insert(0, Missing())
sys.modules["restate_identity_accelerator"] = None
js = sys.modules["js"] = types.ModuleType("js")
js.Object = types.SimpleNamespace(fromEntries=dict)
js.process = types.SimpleNamespace(getBuiltinModule=lambda name: Crypto())
sys.modules["pyodide"] = types.ModuleType("pyodide")
sys.modules["pyodide.ffi"] = types.SimpleNamespace(to_js=lambda value: value)
"""
VERDICTS = """
import json
from pathlib import Path
from restate_identity import ED25519_IMPLEMENTATION, PublicKey
cases = json.loads(Path("tests/vectors/data/wycheproof_ed25519.json").read_text("utf-8"))["cases"]
parts = [[bytes.fromhex(case[name]) for name in ("public_key", "message", "signature")] for case in cases]
assert [PublicKey(key).verify(*rest) for key, *rest in parts] == [case["valid"] for case in cases]
print(ED25519_IMPLEMENTATION)
"""
IMPORT = """
try:
    import restate_identity
except ImportError as error:
    print(error)
"""


def printed(code: str) -> str:
    env = {**os.environ, **MEASURED}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def cases(name: str) -> list[dict[str, Any]]:
    document = json.loads((VECTORS / name).read_text("utf-8"))
    return document.get("cases", []) if isinstance(document, dict) else []


def accepted_by_libsodium(case: dict[str, Any]) -> bool | str:
    key, message, signature = (bytes.fromhex(case[name]) for name in ("public_key", "message", "signature"))
    try:
        return PublicKey(key).verify(message, signature)
    except InvalidKeyError:
        return "invalid_key"


def test_all_vectors_have_the_same_verdict_in_pyodide() -> None:
    try:
        output = run_in_pyodide(PINNED / "judge.py")
    except PyodideUnavailable as unavailable:
        pytest.skip(str(unavailable))
    found = json.loads(output.splitlines()[-1])
    assert (found["platform"], found["implementation"]) == ("emscripten", "Node's crypto")
    requests = [case for file in VECTORS.glob("*.json") for case in cases(file.name) if "headers" in case]
    assert len(requests) > 800
    expected = {case["id"]: "valid" if case["verdict"] == "valid" else case["reason"] for case in requests}
    assert found["vectors"] == expected
    wycheproof = cases("data/wycheproof_ed25519.json")
    assert found["wycheproof"] == [case["valid"] for case in wycheproof]
    assert found["edge cases"] == [accepted_by_libsodium(case) for case in cases("data/ed25519_edge_cases.json")]
    assert found["middleware"] == [[200, "/invoke/Greeter/greet"], [401, None]]


def test_without_pynacl_in_pyodide_node_checks_signatures_with_the_same_verdicts() -> None:
    assert printed(STAND_IN + VERDICTS) == "Node's crypto\n"


def test_pynacl_is_used_in_pyodide_if_it_is_installed() -> None:
    assert printed(STAND_IN.replace("sys.meta_path.insert(0, Missing())\n", "") + VERDICTS) == "libsodium\n"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param(('"emscripten"', '"linux"'), "nacl", id="on another platform"),
        pytest.param(('"emscripten"', '"darwin"'), "nacl", id="on yet another platform"),
        pytest.param(('== "nacl"', '== "nacl.bindings"'), "nacl.bindings", id="broken"),
        pytest.param(("name=name)", 'name="cffi")'), "nacl", id="without a part of it"),
        pytest.param(("getBuiltinModule", "require"), "it needs Node 20.16", id="with an old Node"),
        pytest.param(("js.process =", "js.global_ ="), "it needs Node 20.16", id="without Node"),
        pytest.param(("return False", "return True"), "gives wrong answers", id="with a Node that accepts everything"),
        pytest.param(("load_der_public_key(", "int("), "does not work", id="with a Node that knows no such keys"),
    ],
)
def test_pynacl_that_is_missing_is_an_import_error(change: tuple[str, str], complaint: str) -> None:
    assert STAND_IN.count(change[0]) >= 1
    assert complaint in printed(STAND_IN.replace(*change) + IMPORT)


def test_the_lock_is_of_the_version_that_the_page_names() -> None:
    version = json.loads((PINNED / "package.json").read_text("utf-8"))["dependencies"]["pyodide"]
    page = Path(ROOT, "docs", "platforms", "webassembly.md").read_text("utf-8")
    assert f"Pyodide {version}" in page
