"""``integrations/fastapi``: the Restate application mounted in a site, Hypercorn and Uvicorn, and a real server."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import psutil
import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    NO_PATIENCE,
    Launcher,
    Served,
    calls_through_restate_and_past_it,
    forgeries,
)
from tests.support.restate_server import RestateServer
from tests.support.servers import serve

PLACE = "/invoke/Orders/place"
PREFIX = "/restate/v1"


SERVERS = {
    "hypercorn": lambda port: ["hypercorn", "--bind", f"127.0.0.1:{port}", "app:app"],
    "uvicorn": lambda port: ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)],
}


@pytest.fixture(scope="module", params=SERVERS)
def served(launch: Launcher, request: pytest.FixtureRequest) -> Served:
    return launch("fastapi", SERVERS[request.param])


@pytest.mark.parametrize(("served", "use_http_11"), [("hypercorn", False), ("uvicorn", True)], indirect=["served"])
def test_a_real_server_discovers_and_calls_the_mounted_service(
    served: Served, restate_server: RestateServer, use_http_11: bool
) -> None:
    answer = restate_server.register(f"{served.url}{PREFIX}", use_http_11=use_http_11)
    assert answer.is_success, answer.text
    assert restate_server.invoke("Orders/place", "scone").json() == "One scone, coming up."
    assert served.has_printed("placing an order for scone")


def test_a_request_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    served: Served, signer: RequestSigner
) -> None:
    for how, headers in forgeries(signer, PLACE).items():
        assert served.invoke(PREFIX + PLACE, headers, "poison").status_code == 401, how
    assert served.invoke(PREFIX + PLACE, signer.headers(PLACE), "tea").status_code == 200
    assert served.has_printed("placing an order for tea")
    assert not served.has_printed("placing an order for poison")
    assert served.refusals()


def test_a_single_route_has_a_guard_of_its_own(served: Served, signer: RequestSigner) -> None:
    path = "/invoke/Kitchen/cook"
    for how, headers in forgeries(signer, path).items():
        assert served.post(f"{path}?item=poison", headers, None).status_code == 401, how
    assert served.post(f"{path}?item=soup", signer.headers(path), None).json() == {"cooked": "soup"}
    assert served.has_printed(f"cooking soup, signed by {signer.public_key}")
    assert not served.has_printed("cooking poison")


def test_the_routes_beside_it_stay_open(served: Served) -> None:
    assert served.get("/menu").json() == ["tea", "scones"]
    assert served.get("/openapi.json").status_code == 200


def test_of_the_mounted_application_only_the_health_check_stays_open(served: Served) -> None:
    assert served.get(f"{PREFIX}/health").json() == {"status": "ok"}
    assert served.get(f"{PREFIX}/discover").status_code == 401


@pytest.mark.parametrize("served", ["hypercorn"], indirect=True)
def test_the_calls_of_the_readme_are_accepted_through_restate_and_refused_past_it(
    served: Served, restate_server: RestateServer, identity_pem: Path
) -> None:
    statuses = calls_through_restate_and_past_it("fastapi", served, restate_server, identity_pem, PREFIX)
    assert statuses == ["200", "401"]


def test_uvicorn_ignores_sigterm_once_a_handler_was_called_and_heeds_sigint(
    signer: RequestSigner, tmp_path: Path
) -> None:
    """The README warns of it. If this fails, restate-sdk was mended: take the warning out."""
    env = {"RESTATE_IDENTITY_KEYS": str(signer.public_key)}
    command = [sys.executable, "-m", *SERVERS["uvicorn"]("{port}")]
    with serve(*command, env=env, log=tmp_path / "log", cwd=INTEGRATIONS / "fastapi", patience=NO_PATIENCE) as server:
        served, uvicorn = Served(server.url, server.log), psutil.Process(server.pid)
        assert served.invoke(PREFIX + PLACE, signer.headers(PLACE), "tea").status_code == 200
        uvicorn.send_signal(signal.SIGTERM)
        with pytest.raises(psutil.TimeoutExpired):
            uvicorn.wait(2)
        uvicorn.send_signal(signal.SIGINT)
        uvicorn.wait(30)
