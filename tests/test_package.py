"""What importing costs and needs."""

from __future__ import annotations

import subprocess
import sys

import restate_identity


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    for name in restate_identity.__all__:
        assert getattr(restate_identity, name) is not None


def test_the_adapters_load_nothing_but_the_runtime_dependencies() -> None:
    code = "import sys, restate_identity.asgi; print({'jwt', 'cryptography', 'asyncio', 'restate'} & set(sys.modules))"
    assert run(code) == "set()"


def test_a_missing_extra_is_named_by_the_import_error() -> None:
    code = (
        "import sys; sys.modules['jwt'] = None\n"
        "try: import restate_identity.signing\n"
        "except ImportError as error: print(error)"
    )
    assert run(code) == "signing needs PyJWT and cryptography: pip install 'restate-identity[signing]'"
