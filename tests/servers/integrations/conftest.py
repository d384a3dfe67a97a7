"""Fixtures of the tests of the integrations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.lambda_service import REGION
from tests.servers.integrations.serving import NO_PATIENCE, Launcher, Served
from tests.support.restate_server import RestateServer
from tests.support.servers import python, serve


@pytest.fixture(scope="session")
def signer(identity_pem: Path) -> RequestSigner:
    """Signs with the identity key of the real server."""
    return RequestSigner.from_pem(identity_pem)


@pytest.fixture(scope="session")
def aws_lambda(signer: RequestSigner) -> Iterator[Served]:
    """AWS Lambda, with the function in ``integrations/aws_lambda``."""
    command = python("tests.servers.integrations.lambda_service", "{port}", str(signer.public_key))
    with serve(*command, env={"PYTHONUNBUFFERED": "1"}, patience=NO_PATIENCE) as server:
        yield Served(server.url, server.log)


@pytest.fixture(scope="session")
def restate_server(restate_program: Path, identity_pem: Path, aws_lambda: Served) -> Iterator[RestateServer]:
    """Run a separate server for the integrations, whose Lambda client calls `aws_lambda`."""
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
