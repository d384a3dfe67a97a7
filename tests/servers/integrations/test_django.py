"""``integrations/django``: a Django project under gunicorn (WSGI) and uvicorn (ASGI)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    REFUSED,
    Launcher,
    Served,
    calls_of_the_readme,
    refused_headers,
)
from tests.support.processes import ran
from tests.support.wire import Http1Exchange

SERVERS = {
    "gunicorn": lambda port: ["gunicorn", "--bind", f"127.0.0.1:{port}", "shop.wsgi:application"],
    "uvicorn": lambda port: ["uvicorn", "--host", "127.0.0.1", "--port", str(port), "shop.asgi:application"],
}
SETTINGS = {"DJANGO_SECRET_KEY": "made for this test", "DJANGO_ALLOWED_HOSTS": "127.0.0.1"}


@pytest.fixture(scope="module", params=SERVERS)
def served(launch: Launcher, request: pytest.FixtureRequest) -> Served:
    return launch("django", SERVERS[request.param], env=SETTINGS)


@pytest.mark.parametrize("view", ["take", "take_async"])
@pytest.mark.parametrize("how", REFUSED)
def test_a_request_that_the_owner_did_not_sign_is_refused_and_the_view_does_not_run(
    served: Served, signer: RequestSigner, how: str, view: str
) -> None:
    path = f"/invoke/Stock/{view}"
    refused = served.post(path, refused_headers(how, signer, path), {"item": "all the silver"})
    genuine = served.post(path, signer.headers(path), {"item": "tea"})
    assert (refused.status_code, genuine.status_code) == (401, 200)
    assert served.has_printed(f"taking one tea, signed by {signer.public_key}")
    assert not served.has_printed("taking one all the silver")
    assert served.refusals()


def test_the_decoded_path_is_what_is_signed(served: Served, signer: RequestSigner) -> None:
    headers = signer.headers("/invoke/Stock/take")
    assert served.post("/invoke/St%6Fck/take", headers, {"item": "tea"}).json() == {"taken": "tea"}
    assert served.post("/invoke%2FStock/take", headers, {"item": "tea"}).status_code == 401


def test_the_exempt_path_stays_open_and_nothing_beside_it(served: Served) -> None:
    assert served.get("/alive").json() == {"status": "ok"}
    assert served.get("/alive/").status_code == 401


def test_under_asgi_a_request_is_refused_before_django_reads_its_body(launch: Launcher) -> None:
    served = launch("django", SERVERS["uvicorn"], env=SETTINGS)
    with Http1Exchange(httpx.URL(served.url).port or 0, "POST", "/items/tea/take", body=True) as refused:
        assert refused.status() == 401


def _check(identity_key: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **SETTINGS, "RESTATE_IDENTITY_KEYS": identity_key}
    return ran(sys.executable, "manage.py", "check", cwd=INTEGRATIONS / "django", env=env)


def test_the_system_checks_are_content_with_the_project(signer: RequestSigner) -> None:
    result = _check(str(signer.public_key))
    assert (result.returncode, "no issues" in result.stdout) == (0, True), result.stderr


def test_the_system_checks_report_a_key_that_cannot_be_used() -> None:
    result = _check("publickeyv1_copied-badly")
    assert result.returncode != 0
    assert "restate_identity.E001" in result.stderr


def test_the_calls_of_the_readme_are_refused_without_a_signature_and_accepted_with_it(
    served: Served, identity_pem: Path
) -> None:
    assert calls_of_the_readme("django", {"http://localhost:8000": served.url}, identity_pem) == ["401", "200"]
