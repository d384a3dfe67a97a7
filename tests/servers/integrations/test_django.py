"""``integrations/django``: its system checks, and bodies under ASGI. `test_stock` tries the rest."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import (
    INTEGRATIONS,
    Launcher,
)
from tests.support.processes import ran
from tests.support.wire import Http1Exchange

SETTINGS = {"DJANGO_SECRET_KEY": "made for this test", "DJANGO_ALLOWED_HOSTS": "127.0.0.1"}


def test_under_asgi_a_request_is_refused_before_django_reads_its_body(launch: Launcher) -> None:
    served = launch("django", lambda port: ["uvicorn", "--port", str(port), "shop.asgi:application"], env=SETTINGS)
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
