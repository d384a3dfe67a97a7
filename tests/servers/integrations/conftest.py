"""Fixtures of the tests of the integrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import Launcher


@pytest.fixture(scope="session")
def signer(identity_pem: Path) -> RequestSigner:
    """Signs with the identity key of the real server."""
    return RequestSigner.from_pem(identity_pem)


@pytest.fixture(scope="module")
def launch(signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the server of an integration; it is ended with the module."""
    with Launcher(str(signer.public_key), tmp_path_factory) as launcher:
        yield launcher
