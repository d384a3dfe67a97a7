"""What the integrations share: one identity key and one real Restate server that signs with it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from demo.processes import accepts_connections, free_port, running
from demo.restate_server import ROOT, RestateServer, find_server
from restate_identity.signing import RequestSigner
from tests.integrations.lambda_service import REGION
from tests.integrations.serving import Launcher, Served, ended_at_once


@pytest.fixture(scope="session")
def signer() -> RequestSigner:
    """The identity key of the owner's Restate server."""
    return RequestSigner.generate()


@pytest.fixture(scope="session")
def aws_lambda(signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """AWS Lambda, with the function in ``integrations/aws_lambda``."""
    port = free_port()
    served = Served(f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("lambda") / "function.log")
    function = running(
        [sys.executable, "-m", "tests.integrations.lambda_service", str(port), str(signer.public_key)],
        log=served.log,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        ready=lambda: accepts_connections(port),
    )
    with ended_at_once(function):
        yield served


@pytest.fixture(scope="session")
def restate_server(
    signer: RequestSigner, aws_lambda: Served, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RestateServer]:
    """A real Restate server with the identity key, whose Lambda client calls `aws_lambda`."""
    pem = tmp_path_factory.mktemp("identity") / "private.pem"
    pem.write_bytes(signer.to_pem())
    aws = {
        "AWS_ENDPOINT_URL_LAMBDA": aws_lambda.url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
    }
    with RestateServer(find_server(), identity_key=pem, env=aws) as server:
        yield server


@pytest.fixture(scope="module")
def launch(signer: RequestSigner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    """Start the server of an integration; it is ended with the module."""
    with Launcher(str(signer.public_key), tmp_path_factory) as launcher:
        yield launcher
