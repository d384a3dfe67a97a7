"""The accelerator: the same verdicts as libsodium, said by the package and the command, and never a silent mistake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from restate_identity import ED25519_IMPLEMENTATION
from tests.support import ROOT
from tests.support.accelerator import IS_BUILT, environment
from tests.vectors.forge import OWN

built = pytest.mark.skipif(not IS_BUILT, reason="the accelerator is not built: make accelerator, which needs cargo")
SAY = "import restate_identity; print(restate_identity.ED25519_IMPLEMENTATION)"
# The whole interface, by libsodium.
STAND_IN = """
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

INTERFACE = 1
__version__ = "stand-in"


class VerifyingKey:
    def __init__(self, raw):
        self._key = VerifyKey(raw)

    def verify(self, message, signature):
        try:
            self._key.verify(message, signature)
        except BadSignatureError:
            return False
        return True
"""


def run(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, encoding="utf-8")


def with_module(folder: Path, text: str) -> dict[str, str]:
    """The environment in which *text* is the installed accelerator."""
    (folder / "restate_identity_accelerator.py").write_text(text)
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


@built
def test_wycheproof_the_vectors_and_the_edge_cases_have_the_same_verdicts_with_the_accelerator() -> None:
    files = [f"tests/core/test_{name}.py" for name in ("ed25519", "keys", "vectors")]
    found = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *files], environment())
    assert found.returncode == 0, found.stdout


@built
def test_10000_changed_signatures_have_the_same_verdict_by_libsodium_and_the_accelerator() -> None:
    found = run(["-m", "tests.tools.conformance.signatures", "--count", "10000"], environment())
    assert found.returncode == 0, found.stdout + found.stderr
    assert "\n0 differences" in found.stdout


@built
def test_a_check_with_the_accelerator_lets_other_threads_run() -> None:
    # With this interval a thread gets the GIL only if the other one waits or gives it away.
    code = """if True:
        import sys, threading
        from restate_identity_accelerator import VerifyingKey
        sys.setswitchinterval(1000)
        message, go, ran = bytes(10_000_000), threading.Event(), []
        key = VerifyingKey(bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"))
        threading.Thread(target=lambda: (go.wait(), ran.append(True)), daemon=True).start()
        go.set()
        for _ in range(100):
            if not ran:
                key.verify(message, bytes(64))
        print(ran)
    """
    found = run(["-c", code], environment())
    assert found.stdout == "[True]\n", found.stderr


@built
def test_the_package_says_that_the_accelerator_is_in_use() -> None:
    assert run(["-c", SAY], environment()).stdout == "restate-identity-accelerator 0.1.0\n"


@pytest.mark.parametrize("accelerated", [False, pytest.param(True, marks=built)], ids=["libsodium", "accelerator"])
def test_doctor_says_what_checks_signatures(accelerated: bool) -> None:
    env = {**(environment() if accelerated else os.environ), "RESTATE_IDENTITY_KEYS": OWN.text}
    expected = "restate-identity-accelerator 0.1.0" if accelerated else "libsodium"
    shown = run(["-m", "restate_identity", "doctor"], env)
    assert f"signatures are checked by {expected}\n" in shown.stdout, shown.stderr
    assert json.loads(run(["-m", "restate_identity", "doctor", "--json"], env).stdout)["ed25519"] == expected


def test_without_the_accelerator_the_package_says_libsodium() -> None:
    assert ED25519_IMPLEMENTATION in ("libsodium", "restate-identity-accelerator 0.1.0")
    assert run(["-I", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r}); {SAY}"], {}).stdout == "libsodium\n"


def test_an_accelerator_with_this_interface_that_answers_right_is_used(tmp_path: Path) -> None:
    assert run(["-c", SAY], with_module(tmp_path, STAND_IN)).stdout == "restate-identity-accelerator stand-in\n"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "has interface None", id="a foreign module of that name"),
        pytest.param(STAND_IN.replace("INTERFACE = 1", "INTERFACE = 2"), "has interface 2", id="of another version"),
        pytest.param(STAND_IN.replace("return False", "return True"), "gives wrong answers", id="accepts everything"),
        pytest.param(STAND_IN.replace("return True", "return False"), "gives wrong answers", id="refuses everything"),
        pytest.param(STAND_IN.replace("return True", "return 1"), "gives wrong answers", id="answers no bool"),
        pytest.param(STAND_IN.replace("def verify", "def check"), "does not work", id="lacks a method"),
        pytest.param("raise ImportError('undefined symbol')", "undefined symbol", id="cannot be loaded"),
        pytest.param("import missing_part", "missing_part", id="lacks a part of itself"),
    ],
)
def test_an_accelerator_that_does_not_fit_is_an_import_error(tmp_path: Path, text: str, complaint: str) -> None:
    env = with_module(tmp_path, text)
    code = "try:\n    import restate_identity\nexcept ImportError as error:\n    print(error)"
    found = run(["-c", code], env)
    assert complaint in found.stdout, found.stderr
    assert "Traceback" in run(["-c", SAY], env).stderr
