"""The real Restate server, shared by the tests that need it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from functools import wraps
from inspect import iscoroutinefunction
from pathlib import Path

import pytest
from coverage import Coverage
from hypothesis import settings

from restate_identity.keyring import VARIABLES
from restate_identity.signing import RequestSigner
from tests.support.restate_server import RestateServer, find_server

LIMIT = 120.0
# The folders whose tests specify the core, and call it in their own process.
MEASURED = ("core", "adapters")

# Measure the coverage of the workers, not of the servers that they start, which would only slow them down.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.pop("COVERAGE_PROCESS_START", None)

# A machine that does other things for a moment is no failure.
settings.register_profile("no deadline", settings(), deadline=None)
settings.load_profile("no deadline")
# For `make quick`: fewer examples than in the run of every test.
settings.register_profile("quick", settings.get_profile("no deadline"), max_examples=20)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a case with a key by its argument, because each process makes new keys and all must agree on the names."""
    text = ascii(val) if isinstance(val, (str, bytes)) else ""
    return argname if "publickeyv1_" in text or "PRIVATE KEY" in text else None


@pytest.fixture(autouse=True, scope="module")
def _only_some_folders_are_measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop measuring coverage outside `MEASURED`, because it doubles the time of a test."""
    coverage = Coverage.current()
    if coverage is None or request.path.parent.name in MEASURED or "MEASURE_ALL_TESTS" in os.environ:
        yield
        return
    coverage.stop()
    yield
    coverage.start()


@pytest.fixture(autouse=True)
def _no_keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """Make an async test that hangs fail."""
    test = pyfuncitem.obj
    if iscoroutinefunction(test):

        @wraps(test)
        async def limited(**arguments: object) -> None:
            await asyncio.wait_for(test(**arguments), LIMIT)

        pyfuncitem.obj = limited


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Return the event loop of async tests."""
    return "asyncio"


@pytest.fixture(scope="session")
def restate_program() -> Path:
    """Return the server program. On a machine without one, the tests fail with a message that says what to install."""
    return find_server()


@pytest.fixture(scope="session")
def identity_pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pem = tmp_path_factory.mktemp("identity") / "identity.pem"
    pem.touch(mode=0o600)
    pem.write_bytes(RequestSigner.generate().to_pem())
    return pem


# Not for the whole run, because a server takes the processor also when nobody calls it.
@pytest.fixture(scope="module")
def restate_server(restate_program: Path, identity_pem: Path) -> Iterator[RestateServer]:
    """Run a server that signs with *identity_pem*."""
    with RestateServer(restate_program, identity_key=identity_pem) as server:
        yield server
