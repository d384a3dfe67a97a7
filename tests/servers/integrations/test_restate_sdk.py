"""``integrations/restate_sdk``: the SDK's application, Hypercorn, and a real server over HTTP/2."""

from __future__ import annotations

from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    HTTP,
    Launcher,
    Served,
    assert_only_the_signed_one_is_greeted,
    calls_through_restate_and_past_it,
)
from tests.support.restate_server import RestateServer

GREET = "/invoke/Greeter/greet"


@pytest.fixture(scope="module")
def served(launch: Launcher) -> Served:
    return launch(
        "restate_sdk",
        lambda port: [
            *("python", "-m", "hypercorn", "--config", "hypercorn.toml", "--bind", f"127.0.0.1:{port}", "app:app"),
        ],
    )


@pytest.fixture(scope="module")
def registered(served: Served, restate_server: RestateServer) -> RestateServer:
    answer = restate_server.register(served.url)
    assert answer.is_success, answer.text
    return restate_server


def test_a_real_server_discovers_all_three_kinds_of_services_over_http_2(
    served: Served, restate_server: RestateServer
) -> None:
    deployment = restate_server.register(served.url).json()
    assert {service["name"] for service in deployment["services"]} == {"Greeter", "Counter", "Signup"}
    details = HTTP.get(f"{restate_server.admin_url}/deployments/{deployment['id']}")
    assert (details.json()["http_version"], details.json()["protocol_type"]) == ("HTTP/2.0", "BidiStream")


def test_a_real_server_calls_a_virtual_object_whose_key_is_signed(served: Served, registered: RestateServer) -> None:
    assert registered.invoke("Counter/a%20b%2Fc/add", 2).json() == 2
    assert registered.invoke("Counter/a%20b%2Fc/add", 3).json() == 5
    assert served.has_printed("adding to a b/c, signed for a b/c")


def test_a_real_server_runs_a_workflow(registered: RestateServer) -> None:
    assert registered.invoke("Signup/ada/run", "ada@example.com").json() == "ada@example.com is user ada"


def test_a_request_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    served: Served, signer: RequestSigner
) -> None:
    assert_only_the_signed_one_is_greeted(served, signer, GREET)
    assert served.refusals()


def test_the_health_check_stays_open(served: Served) -> None:
    assert served.get("/health").json() == {"status": "ok"}
    assert served.get("/discover").status_code == 401


def test_the_calls_of_the_readme_are_accepted_through_restate_and_refused_past_it(
    served: Served, restate_server: RestateServer, identity_pem: Path
) -> None:
    assert calls_through_restate_and_past_it("restate_sdk", served, restate_server, identity_pem) == ["200", "401"]
