"""``integrations/flask``: the workers and threads of gunicorn. `test_stock` tries the rest."""

from __future__ import annotations

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import Launcher
from tests.support.eventually import eventually

TAKE = "/invoke/Stock/take"


def test_every_worker_of_gunicorn_decides_alike(launch: Launcher, signer: RequestSigner) -> None:
    served = launch("flask", lambda port: ["gunicorn", "--bind", f"127.0.0.1:{port}", "app:app"])
    assert served.has_printed("Using worker: gthread")
    eventually(lambda: served.log.read_text().count("Booting worker") == 2)
    answers = [served.post(TAKE, headers, {"item": "tea"}) for _ in range(20) for headers in (signer.headers(TAKE), {})]
    assert [answer.status_code for answer in answers] == [200, 401] * 20
