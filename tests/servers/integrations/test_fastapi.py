"""``integrations/fastapi``: a site with the Restate application mounted, Uvicorn, and a real server over HTTP/1.1."""

from __future__ import annotations

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import REFUSED, Launcher, Served, refused_headers
from tests.support.restate_server import RestateServer

PLACE = "/invoke/Orders/place"
PREFIX = "/restate/v1"


@pytest.fixture(scope="module")
def served(launch: Launcher) -> Served:
    return launch("fastapi", lambda port: ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", str(port)])


def test_a_real_server_discovers_and_calls_the_mounted_service_over_http_1(
    served: Served, restate_server: RestateServer
) -> None:
    answer = restate_server.register(f"{served.url}{PREFIX}", use_http_11=True)
    assert answer.is_success, answer.text
    assert restate_server.invoke("Orders/place", "scone").json() == "One scone, coming up."
    assert served.has_printed("placing an order for scone")


@pytest.mark.parametrize("how", REFUSED)
def test_a_request_that_restate_did_not_sign_is_refused_and_the_handler_does_not_run(
    served: Served, signer: RequestSigner, how: str
) -> None:
    assert served.invoke(PREFIX + PLACE, refused_headers(how, signer, PLACE), "poison").status_code == 401
    assert served.invoke(PREFIX + PLACE, signer.headers(PLACE), "tea").status_code == 200
    assert served.has_printed("placing an order for tea")
    assert not served.has_printed("placing an order for poison")
    assert served.refusals()


def test_the_routes_beside_it_stay_open(served: Served) -> None:
    assert served.get("/menu").json() == ["tea", "scones"]
    assert served.get("/openapi.json").status_code == 200


def test_of_the_mounted_application_only_the_health_check_stays_open(served: Served) -> None:
    assert served.get(f"{PREFIX}/health").json() == {"status": "ok"}
    assert served.get(f"{PREFIX}/discover").status_code == 401
