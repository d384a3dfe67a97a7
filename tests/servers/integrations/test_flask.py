"""``integrations/flask``: a Flask application under gunicorn, with threads and several workers, and under waitress."""

from __future__ import annotations

from pathlib import Path

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import REFUSED, Launcher, Served, calls_of_the_readme, refused_headers
from tests.support.eventually import eventually

TAKE = "/invoke/Stock/take"
SERVERS = {
    "gunicorn": lambda port: ["gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"],
    "waitress": lambda port: ["waitress-serve", f"--listen=127.0.0.1:{port}", "app:app"],
}


@pytest.fixture(scope="module", params=SERVERS)
def served(launch: Launcher, request: pytest.FixtureRequest) -> Served:
    return launch("flask", SERVERS[request.param])


@pytest.mark.parametrize("how", REFUSED)
def test_a_request_that_the_owner_did_not_sign_is_refused_and_the_view_does_not_run(
    served: Served, signer: RequestSigner, how: str
) -> None:
    refused = served.post(TAKE, refused_headers(how, signer, TAKE), {"item": "all the silver"})
    genuine = served.post(TAKE, signer.headers(TAKE), {"item": "tea"})
    assert (refused.status_code, genuine.status_code) == (401, 200)
    assert served.has_printed(f"taking one tea, signed by {signer.public_key}")
    assert not served.has_printed("taking one all the silver")
    assert served.refusals()


@pytest.mark.parametrize("served", ["gunicorn"], indirect=True)
def test_every_worker_of_gunicorn_decides_alike(served: Served, signer: RequestSigner) -> None:
    assert served.has_printed("Using worker: gthread")
    eventually(lambda: served.log.read_text().count("Booting worker") == 2)
    answers = [served.post(TAKE, headers, {"item": "tea"}) for _ in range(20) for headers in (signer.headers(TAKE), {})]
    assert [answer.status_code for answer in answers] == [200, 401] * 20


def test_the_decoded_path_is_what_is_signed(served: Served, signer: RequestSigner) -> None:
    headers = signer.headers(TAKE)
    assert served.post("/invoke/St%6Fck/take", headers, {"item": "tea"}).json() == {"taken": "tea"}
    assert served.post("/invoke%2FStock/take", headers, {"item": "tea"}).status_code == 401


def test_the_exempt_path_stays_open_and_nothing_beside_it(served: Served) -> None:
    assert served.get("/alive").json() == {"status": "ok"}
    assert served.get("/alive/").status_code == 401


def test_the_calls_of_the_readme_are_refused_without_a_signature_and_accepted_with_it(
    served: Served, identity_pem: Path
) -> None:
    assert calls_of_the_readme("flask", {"http://localhost:8000": served.url}, identity_pem) == ["401", "200"]
