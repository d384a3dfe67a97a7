"""``integrations/vercel``: loaded as Vercel's runtime does, and called by a real server."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations import vercel_runtime
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    Launcher,
    Served,
    assert_only_the_signed_one_is_greeted,
    assert_restate_greets,
)
from tests.support.restate_server import RestateServer

GREET = "/invoke/VercelGreeter/greet"


@pytest.fixture(scope="module")
def served(launch: Launcher) -> Served:
    return launch(
        "vercel",
        lambda port: [sys.executable, str(Path(vercel_runtime.__file__)), str(port)],
        # Vercel reserves this name, and sets it where it runs on Lambda.
        env={"AWS_LAMBDA_FUNCTION_NAME": "vercel-function"},
    )


def test_a_real_server_discovers_and_calls_the_service(served: Served, restate_server: RestateServer) -> None:
    assert_restate_greets(served, restate_server, "VercelGreeter", use_http_11=True)


def test_a_request_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    served: Served, signer: RequestSigner
) -> None:
    assert_only_the_signed_one_is_greeted(served, signer, GREET)


def test_every_path_is_sent_to_the_file_with_the_application() -> None:
    (rewrite,) = json.loads((INTEGRATIONS / "vercel" / "vercel.json").read_text())["rewrites"]
    for path in ("/", "/discover", "/health", GREET):
        assert re.fullmatch(rewrite["source"], path)
    assert f"{rewrite['destination']}.py" == f"/{vercel_runtime.ENTRYPOINT}"
