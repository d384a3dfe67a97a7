"""What importing the package costs, and what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import restate_identity


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", restate_identity.__version__)
    for name in restate_identity.__all__:
        assert getattr(restate_identity, name) is not None


@pytest.mark.parametrize("adapter", ["asgi", "wsgi", "aws_lambda"])
def test_the_adapters_load_nothing_but_the_runtime_dependencies(adapter: str) -> None:
    others = {
        *("asyncio", "cryptography", "django", "fastapi", "jwt", "restate", "starlette"),
        *("opentelemetry", "prometheus_client", "yaml"),
    }
    assert run(f"import sys, restate_identity.{adapter}; print({others} & set(sys.modules))") == "set()"


@pytest.mark.parametrize(
    ("room", "missing", "message"),
    [
        ("signing", "jwt", "signing needs PyJWT and cryptography: pip install 'restate-identity[signing]'"),
        ("encryption", "cryptography", "encryption needs cryptography: pip install 'restate-identity[encryption]'"),
        ("tunnel", "h2", "the tunnel needs h2 and dnspython: pip install 'restate-identity[tunnel]'"),
        ("tunnel.client", "h11", "the tunnel client needs h11: pip install 'restate-identity[tunnel-client]'"),
        ("probe", "httpx", "the probe needs httpx and the signer: pip install 'restate-identity[cli]'"),
        ("edge.listening", "uvicorn", "uvicorn is missing: pip install 'restate-identity[edge]'"),
        ("django", "django", "the Django middleware needs Django: pip install 'restate-identity[django]'"),
        ("fastapi", "fastapi", "the FastAPI dependency needs FastAPI: pip install 'restate-identity[fastapi]'"),
    ],
)
def test_a_missing_extra_is_named_by_the_import_error(room: str, missing: str, message: str) -> None:
    parent, _, _ = f"restate_identity.{room}".rpartition(".")
    code = (
        f"import sys, {parent}; sys.modules['{missing}'] = None\n"
        f"try: import restate_identity.{room}\n"
        "except ImportError as error: print(error)"
    )
    assert run(code) == message
