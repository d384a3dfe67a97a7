"""What the tests of the integrations share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.lambda_service import REGION
from tests.servers.integrations.serving import NO_PATIENCE, Launcher, Served
from tests.support import ROOT
from tests.support.processes import accepts_connections, free_port, running
from tests.support.restate_server import RestateServer


@pytest.fixture(scope="session")
def signer(identity_pem: Path) -> RequestSigner:
    """Signs with the identity key of the real server."""
    return RequestSigner.from_pem(identity_pem)


@pytest.fixture(scope="session")
def aws_lambda(signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """AWS Lambda, with the function in ``integrations/aws_lambda``."""
    port = free_port()
    served = Served(f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("lambda") / "function.log")
    with running(
        [sys.executable, "-m", "tests.servers.integrations.lambda_service", str(port), str(signer.public_key)],
        log=served.log,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ready=lambda: accepts_connections(port),
        patience=NO_PATIENCE,
    ):
        yield served


@pytest.fixture(scope="session")
def restate_server(restate_program: Path, identity_pem: Path, aws_lambda: Served) -> Iterator[RestateServer]:
    """A server of its own for the integrations: its Lambda client calls `aws_lambda`."""
    aws = {
        "AWS_ENDPOINT_URL_LAMBDA": aws_lambda.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
    }
    with RestateServer(restate_program, identity_key=identity_pem, env=aws) as server:
        yield server


@pytest.fixture(scope="module")
def launch(signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the server of an integration; it is ended with the module."""
    with Launcher(str(signer.public_key), tmp_path_factory) as launcher:
        yield launcher
