"""Check the installed wheel with the runtime dependencies alone.

Run it with the interpreter of an environment that has nothing else installed, in a folder without the sources. It
imports nothing else, so it signs with libsodium.
"""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

import restate_identity
from restate_identity import IdentityVerifier, PublicKey, Reason, VerificationError, current_identity
from restate_identity.asgi import RequestIdentityMiddleware as AsgiMiddleware
from restate_identity.aws_lambda import require_request_identity
from restate_identity.wsgi import RequestIdentityMiddleware as WsgiMiddleware

PATH = "/invoke/Greeter/greet"
SIGNING_KEY = SigningKey.generate()
KEY = PublicKey(bytes(SIGNING_KEY.verify_key))


def signed_headers(signing_key: SigningKey) -> dict[str, str]:
    """Sign `PATH` in the name of `KEY`, with any *signing_key*."""
    now = int(time.time())
    header = {"typ": "JWT", "alg": "EdDSA", "kid": str(KEY)}
    claims = {"aud": PATH, "exp": now + 60, "iat": now, "nbf": now - 60}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    signature = signing_key.sign(signed.encode()).signature
    return {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": f"{signed}.{base64url(signature)}"}


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


GENUINE = signed_headers(SIGNING_KEY)
FORGERY = signed_headers(SigningKey.generate())


def the_core(headers: dict[str, str]) -> bool:
    try:
        return IdentityVerifier([KEY]).verify(PATH, headers).audience == PATH
    except VerificationError as error:
        if error.reason is not Reason.BAD_SIGNATURE:
            raise
        return False


def asgi(headers: dict[str, str]) -> bool:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        assert current_identity() is not None
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> Any:
        raise AssertionError("the body was read")

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": PATH,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    asyncio.run(AsgiMiddleware(app, identity_keys=[KEY])(scope, receive, send))
    return admitted(sent[0]["status"])


def wsgi(headers: dict[str, str]) -> bool:
    def app(_environ: Any, start_response: Any) -> Iterable[bytes]:
        assert current_identity() is not None
        start_response("200 OK", [])
        return []

    statuses: list[str] = []

    def start_response(status: str, _headers: Any, _error: Any = None) -> Any:
        statuses.append(status)

    environ = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()}
    environ.update(REQUEST_METHOD="POST", SCRIPT_NAME="", PATH_INFO=PATH)
    list(WsgiMiddleware(app, identity_keys=[KEY])(environ, start_response))
    return admitted(int(statuses[0].split()[0]))


def aws_lambda(headers: dict[str, str]) -> bool:
    @require_request_identity(identity_keys=[KEY])
    def handler(_event: Any, _context: Any) -> Any:
        assert current_identity() is not None
        return {"statusCode": 200}

    answer = handler({"path": PATH, "httpMethod": "POST", "headers": headers}, None)
    return admitted(answer["statusCode"])


def admitted(status: int) -> bool:
    assert status in (200, 401), status
    return status == 200


# Users do not import these: the command itself says what is missing, and pytest loads its plugin.
IMPORTED_BY_OTHERS = ("restate_identity.__main__", "restate_identity.cli", "restate_identity.pytest_plugin")

GUARDS: tuple[Callable[[dict[str, str]], bool], ...] = (the_core, asgi, wsgi, aws_lambda)


def missing_extras() -> dict[str, str]:
    """Import every module; return the errors of those that need more than the runtime dependencies."""
    folder = Path(restate_identity.__file__).parent
    said = {}
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        name = ".".join(("restate_identity", *(part for part in parts if part != "__init__")))
        if f"{name}.".startswith(tuple(f"{module}." for module in IMPORTED_BY_OTHERS)):
            continue
        try:
            importlib.import_module(name)
        except ImportError as error:
            said[name] = str(error)
    return said


def main() -> None:
    """Check everything; the first failure ends it with a traceback."""
    installed = sorted(distribution.metadata["Name"].lower() for distribution in metadata.distributions())
    runtime = {"base58", "cffi", "pip", "pycparser", "pynacl", "restate-identity", "setuptools"}
    assert set(installed) <= runtime, f"more than the runtime dependencies is here: {installed}"
    assert Path(restate_identity.__file__).is_relative_to(sys.prefix), f"not the wheel: {restate_identity.__file__}"
    assert metadata.version("restate-identity") == restate_identity.__version__
    for guard in GUARDS:
        assert guard(GENUINE), f"{guard.__name__} refuses a genuine token"
        assert not guard(FORGERY), f"{guard.__name__} accepts a forgery"
    command = subprocess.run([sys.executable, "-I", "-m", "restate_identity"], capture_output=True, text=True)
    assert command.returncode == 2, command
    assert "pip install 'restate-identity[cli]'" in command.stderr, command
    provided = metadata.metadata("restate-identity").get_all("Provides-Extra") or []
    for module, message in missing_extras().items():
        extra = re.search(r"pip install 'restate-identity\[([\w,-]+)\]'", message)
        assert extra, f"{module} names no extra: {message}"
        assert extra[1] in provided, f"{module} names an extra that does not exist: {message}"
        print(f"{module} without its extra: {message}")
    print(f"Python {sys.version.split()[0]}: the core and the ASGI, WSGI and Lambda adapters work")


if __name__ == "__main__":
    main()
