"""The accelerator: the same verdicts as libsodium, said by the package and the command, and never a silent mistake."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import coverage
import pytest

from restate_identity import ED25519_IMPLEMENTATION
from tests.support import ROOT
from tests.support.accelerator import IS_BUILT, SITE, environment
from tests.vectors.forge import OWN

built = pytest.mark.skipif(not IS_BUILT, reason="the accelerator is not built: make accelerator, which needs cargo")
SAY = "import restate_identity; print(restate_identity.ED25519_IMPLEMENTATION)"
# The whole interface, by libsodium.
STAND_IN = """
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

INTERFACE = 1
__version__ = "stand-in"


class VerifyingKey:
    def __init__(self, raw):
        self._raw = raw

    def verify(self, message, signature):
        if len(signature) != 64:
            return False
        try:
            crypto_sign_open(signature + message, self._raw)
        except BadSignatureError:
            return False
        return True
"""


# In a worker of pytest-xdist, child processes are measured only if a test asks for it.
MEASURED = {} if coverage.Coverage.current() is None else {"COVERAGE_PROCESS_START": str(ROOT / "pyproject.toml")}


def run(arguments: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, env=env, capture_output=True, encoding="utf-8")


def with_module(folder: Path, text: str) -> dict[str, str]:
    """The environment in which *text* is the installed accelerator."""
    (folder / "restate_identity_accelerator.py").write_text(text)
    return {**os.environ, **MEASURED, "PYTHONPATH": os.pathsep.join((str(folder), str(ROOT)))}


@built
def test_wycheproof_the_vectors_and_the_edge_cases_have_the_same_verdicts_with_the_accelerator() -> None:
    verdicts = "tests/core/test_vectors.py::test_the_verdict_and_the_reason_are_the_expected_ones"
    tests = ["tests/core/test_ed25519.py", "tests/core/test_keys.py", verdicts]
    found = run(["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests], environment())
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


@pytest.mark.parametrize("accelerated", [False, pytest.param(True, marks=built)], ids=["libsodium", "accelerator"])
def test_doctor_says_what_checks_signatures(accelerated: bool) -> None:
    env = {**(environment() if accelerated else os.environ), "RESTATE_IDENTITY_KEYS": OWN.text}
    expected = "restate-identity-accelerator 0.1.0" if accelerated else ED25519_IMPLEMENTATION
    found = json.loads(run(["-m", "restate_identity", "doctor", "--json"], env).stdout)
    assert found["ed25519"] == expected
    file = found["ed25519_file"]
    assert (file is not None) == ("accelerator" in expected)
    assert not accelerated or Path(file).is_relative_to(SITE)
    shown = run(["-m", "restate_identity", "doctor"], env).stdout
    assert f"signatures are checked by {expected}{'' if file is None else f', {file}'}\n" in shown


def test_without_the_accelerator_the_package_says_libsodium() -> None:
    assert ED25519_IMPLEMENTATION in ("libsodium", "restate-identity-accelerator 0.1.0")
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(ROOT)!r})
        # In case that it is installed.
        sys.modules["restate_identity_accelerator"] = None
        from restate_identity import ED25519_IMPLEMENTATION, PublicKey
        from restate_identity._ed25519 import KNOWN_KEY, KNOWN_VERDICTS
        key = PublicKey(KNOWN_KEY)
        assert all(key.verify(message, signature) is verdict for message, signature, verdict in KNOWN_VERDICTS)
        print(ED25519_IMPLEMENTATION)
    """
    assert run(["-I", "-c", code], MEASURED).stdout == "libsodium\n"


def test_an_accelerator_with_this_interface_that_answers_right_is_used(tmp_path: Path) -> None:
    code = f"{SAY}; from restate_identity._ed25519 import accelerator_file; print(accelerator_file)"
    expected = f"restate-identity-accelerator stand-in\n{tmp_path / 'restate_identity_accelerator.py'}\n"
    assert run(["-c", code], with_module(tmp_path, STAND_IN)).stdout == expected


# Each answers right but for signatures that only a laxer implementation accepts. OpenSSL accepts a neutral R.
BY_OPENSSL = """
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

INTERFACE = 1
__version__ = "by OpenSSL"


class VerifyingKey:
    def __init__(self, raw):
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    def verify(self, message, signature):
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True
"""
WITHOUT_REDUCTION = STAND_IN.replace(
    "        try:",
    """        s = int.from_bytes(signature[32:], "little") % (2**252 + 27742317777372353535851937790883648493)
        signature = signature[:32] + s.to_bytes(32, "little")
        try:""",
)
WITH_COFACTOR = STAND_IN.replace(
    "        try:", "        if signature[0] == 0x98:\n            return True\n        try:"
)
CUT = STAND_IN.replace("if len(signature) != 64", "signature = signature[:63] + bytes(1)\n        if not signature")
PANIC = STAND_IN.replace(
    "        try:",
    "        class PanicException(BaseException): ...\n        raise PanicException('index')\n        try:",
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param("", "has interface None", id="a foreign module of that name"),
        pytest.param(STAND_IN.replace("INTERFACE = 1", "INTERFACE = 0"), "has interface 0", id="an older one"),
        pytest.param(STAND_IN.replace("INTERFACE = 1", "INTERFACE = 2"), "has interface 2", id="a newer one"),
        pytest.param(STAND_IN.replace("__version__ =", "version ="), "has interface 1", id="has no version"),
        pytest.param(STAND_IN.replace("return False", "return True"), "gives wrong answers", id="accepts everything"),
        pytest.param(STAND_IN.replace("return True", "return False"), "gives wrong answers", id="refuses everything"),
        pytest.param(STAND_IN.replace("return True", "return 1"), "gives wrong answers", id="answers no bool"),
        pytest.param(BY_OPENSSL, "gives wrong answers", id="accepts a neutral R"),
        pytest.param(WITHOUT_REDUCTION, "gives wrong answers", id="accepts an S that is not reduced"),
        pytest.param(WITH_COFACTOR, "gives wrong answers", id="has the equation with the cofactor"),
        pytest.param(CUT, "gives wrong answers", id="completes a cut signature"),
        pytest.param(STAND_IN.replace("def verify", "def check"), "does not work", id="lacks a method"),
        pytest.param(PANIC, "does not work", id="panics"),
        pytest.param("raise ImportError('undefined symbol')", "undefined symbol", id="cannot be loaded"),
        pytest.param("raise SystemError('bad magic')", "bad magic", id="fails while it is loaded"),
        pytest.param("def f(:", "invalid syntax", id="is no Python"),
        pytest.param("import missing_part", "a part of", id="lacks a part of itself"),
        pytest.param("import the_missing_part", "a part of", id="lacks another part of itself"),
    ],
)
def test_an_accelerator_that_does_not_fit_is_an_import_error(tmp_path: Path, text: str, complaint: str) -> None:
    code = "try:\n    import restate_identity\nexcept ImportError as error:\n    print(error)"
    found = run(["-c", code], with_module(tmp_path, text))
    assert complaint in found.stdout, found.stderr
    assert found.returncode == 0


@pytest.mark.parametrize(
    "text", ["raise SystemExit(3)", STAND_IN.replace("        try:", "        raise SystemExit(3)\n        try:")]
)
def test_a_process_that_is_told_to_end_meanwhile_ends(tmp_path: Path, text: str) -> None:
    found = run(["-c", SAY], with_module(tmp_path, text))
    assert (found.returncode, found.stderr) == (3, "")


def test_a_folder_that_an_accelerator_left_behind_is_an_import_error(tmp_path: Path) -> None:
    (tmp_path / "restate_identity_accelerator" / "__pycache__").mkdir(parents=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    assert "has interface None" in run(["-c", SAY], env).stderr


def test_after_a_panic_during_a_check_the_application_does_not_run(tmp_path: Path) -> None:
    panics = PANIC.replace("raise PanicException('index')", "if len(message) > 99: raise PanicException('index')")
    code = """if True:
        from restate_identity.asgi import RequestIdentityMiddleware
        from tests.support.forge import PATH, token, verifier

        async def app(scope, receive, send):
            print("the application ran")

        headers = [(b"x-restate-signature-scheme", b"v1"), (b"x-restate-jwt-v1", token().encode())]
        scope = {"type": "http", "path": PATH, "headers": headers}
        try:
            RequestIdentityMiddleware(app, verifier=verifier())(scope, None, None).__await__().__next__()
        except BaseException as error:
            print(type(error).__name__)
    """
    assert run(["-c", code], with_module(tmp_path, panics)).stdout == "PanicException\n"
    assert run(["-c", code], with_module(tmp_path, STAND_IN)).stdout == "the application ran\nStopIteration\n"


@pytest.mark.parametrize("cargo", [None, "echo cargo 1.87.0", "echo cargo 1.88.0", "echo cargo 2.0.1"])
def test_without_a_cargo_that_is_new_enough_each_target_names_what_it_leaves_out(
    tmp_path: Path, cargo: str | None
) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("there is no make")
    for program in ("awk", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program) or program)
    if cargo is not None:
        (tmp_path / "cargo").write_text(f"#!/bin/sh\n{cargo}\n")
        (tmp_path / "cargo").chmod(0o755)
    for target in ("check", "test", "accelerated", "bench", "conformance"):
        plan = subprocess.check_output(
            [make, "--dry-run", "--always-make", target], cwd=ROOT, env={"PATH": str(tmp_path)}, text=True
        )
        left_out = "left out, because there is no cargo 1.88 or later" in plan
        assert left_out is (cargo in (None, "echo cargo 1.87.0")), target
        assert ("build/accelerator/site " in plan or "cargo clippy" in plan) is not left_out, target


@built
def test_threads_that_check_with_many_keys_at_once_get_the_right_verdicts() -> None:
    # More keys than have tables at a time, first used by all threads at the same moment, then dropped and made again.
    code = """if True:
        from concurrent.futures import ThreadPoolExecutor
        from threading import Barrier
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from restate_identity import PublicKey

        signers = [Ed25519PrivateKey.generate() for _ in range(40)]
        cases = [(signer.public_key().public_bytes_raw(), signer.sign(b"a message")) for signer in signers]
        start = Barrier(8)

        def check(keys):
            start.wait()
            return all(
                key.verify(b"a message", signature) and not key.verify(b"another", signature)
                for key, (_, signature) in zip(keys, cases)
            )

        with ThreadPoolExecutor(8) as pool:
            for _ in range(3):
                shared = [PublicKey(raw) for raw, _ in cases]
                print(*pool.map(check, [shared] * 4 + [[PublicKey(raw) for raw, _ in cases] for _ in range(4)]))
    """
    found = run(["-c", code], environment())
    assert found.stdout.split() == ["True"] * 24, found.stderr
