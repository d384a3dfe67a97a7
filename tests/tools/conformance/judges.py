"""The verifiers to compare, behind one interface: would you accept this request?"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import base58
import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from restate._internal import (  # type: ignore[import-not-found]  # a native module without stubs
    IdentityVerificationException,
    PyIdentityVerifier,
)

from restate_identity import IdentityVerifier, InvalidKeyError, VerificationError
from tests.support.clock import Clock
from tests.support.probed.typescript import installed_sdk

HERE = Path(__file__).parent


class Request(NamedTuple):
    """A request, and the configuration of the service that receives it."""

    keys: tuple[str, ...]
    headers: tuple[tuple[str, str], ...]
    path: str
    time: float


class Judge(NamedTuple):
    """A verifier.

    Attributes:
        has_clock: Whether its clock can be set. If not, it judges every request at the present time.
        judge: Returns for each request whether it is accepted.
    """

    name: str
    has_clock: bool
    judge: Callable[[Sequence[Request]], list[bool]]


# --- this project


def verdict(request: Request) -> str | None:
    """The reason for which this project refuses *request*, or None."""
    now.now = request.time
    verifier = _verifier(request.keys)
    if isinstance(verifier, str):
        return verifier
    try:
        verifier.verify(request.path, request.headers)
    except VerificationError as error:
        return error.reason.value
    return None


now = Clock()


@lru_cache(maxsize=1024)
def _verifier(keys: tuple[str, ...]) -> IdentityVerifier | str:
    try:
        return IdentityVerifier(keys, clock=now)
    except InvalidKeyError:
        return "invalid_key"
    except ValueError:
        return "no_key"


# --- the Python SDK's native verifier (Rust)


def _python_sdk(request: Request) -> bool:
    verifier = _native(request.keys)
    if verifier is None:
        return False
    try:
        verifier.verify(list(request.headers), request.path)
    except IdentityVerificationException:
        return False
    return True


@lru_cache(maxsize=1024)
def _native(keys: tuple[str, ...]) -> Any:
    try:
        return PyIdentityVerifier(list(keys))
    except Exception:  # noqa: BLE001  # the native module documents none
        return None


# --- PyJWT with strict options, as a reader of Restate's documentation would use it


def _pyjwt(request: Request) -> bool:
    names = [name.lower() for name, _ in request.headers]
    values = dict(zip(names, (value for _, value in request.headers), strict=True))
    if len(set(names)) != len(names) or values.get("x-restate-signature-scheme") != "v1":
        return False
    token = values.get("x-restate-jwt-v1", "")
    audience = re.search(r"/invoke/[^/]*/[^/]*\Z|/discover\Z", request.path)
    try:
        keys = {key: openssl_key(key) for key in request.keys}
        kid = jwt.get_unverified_header(token)["kid"]
        jwt.decode(
            token,
            keys[kid],
            algorithms=["EdDSA"],
            audience=audience[0] if audience else request.path,
            options={"require": ["aud", "exp", "iat", "nbf"], "strict_aud": True},
        )
    except Exception:  # noqa: BLE001  # whatever it raises, it does not accept
        return False
    return True


@lru_cache(maxsize=1024)
def openssl_key(key: str) -> Ed25519PublicKey:
    return Ed25519PublicKey.from_public_bytes(base58.b58decode(key.removeprefix("publickeyv1_")))


# --- the TypeScript SDK (the same Rust core, compiled to WebAssembly) on Node


@contextmanager
def typescript_sdk() -> Iterator[Judge]:
    """The TypeScript SDK's verifier in a child process, for the time of a ``with`` block."""
    sdk = installed_sdk()
    name = f"TypeScript SDK {json.loads((sdk / 'package.json').read_text('utf-8'))['version']}"
    command = ["node", os.fspath(HERE / "typescript" / "judge.mjs"), os.fspath(sdk)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8") as child:
        assert child.stdin is not None
        assert child.stdout is not None
        requests, verdicts = child.stdin, child.stdout

        def judge(batch: Sequence[Request]) -> list[bool]:
            accepted = []
            for start in range(0, len(batch), 500):  # few enough for all verdicts to fit into the pipe
                part = batch[start : start + 500]
                requests.write("".join(json.dumps(request._asdict()) + "\n" for request in part))
                requests.flush()
                for _ in part:
                    line = verdicts.readline()
                    if line not in ("accepted\n", "refused\n"):
                        raise RuntimeError(f"the TypeScript judge ended or said {line!r}")
                    accepted.append(line == "accepted\n")
            return accepted

        yield Judge(name, has_clock=True, judge=judge)
        child.stdin.close()


def _each(judge: Callable[[Request], bool]) -> Callable[[Sequence[Request]], list[bool]]:
    return lambda requests: [judge(request) for request in requests]


OURS = Judge("this project", has_clock=True, judge=_each(lambda request: verdict(request) is None))
PYTHON_SDK = Judge(f"Python SDK {version('restate-sdk')}", has_clock=False, judge=_each(_python_sdk))
PYJWT = Judge(f"PyJWT {jwt.__version__}, strict", has_clock=False, judge=_each(_pyjwt))


def present() -> int:
    """Return the second for which to sign requests for judges whose clock cannot be set."""
    return int(time.time())
