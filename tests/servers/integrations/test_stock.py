"""The stock of ``integrations/django``, ``flask`` and ``starlette_any_app``, behind their servers."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from restate_identity.signing import RequestSigner
from tests.servers.integrations.serving import Launcher, Served, calls_of_the_readme, forgeries

TAKE = "/invoke/Stock/take"


class Stock(NamedTuple):
    """A folder, the command that serves it, and the paths of its views."""

    folder: str
    command: tuple[str, ...]
    paths: tuple[str, ...] = (TAKE,)


BOTH_KINDS_OF_VIEWS = (TAKE, f"{TAKE}_async")
STOCKS = {
    "django, gunicorn": Stock("django", ("gunicorn", "--bind", "{}", "shop.wsgi:application"), BOTH_KINDS_OF_VIEWS),
    "django, uvicorn": Stock("django", ("uvicorn", "--port", "{port}", "shop.asgi:application"), BOTH_KINDS_OF_VIEWS),
    "flask, gunicorn": Stock("flask", ("gunicorn", "--bind", "{}", "app:app")),
    "flask, waitress": Stock("flask", ("waitress-serve", "--listen={}", "app:app")),
    "starlette, uvicorn": Stock("starlette_any_app", ("uvicorn", "--port", "{port}", "app:app")),
}


@pytest.fixture(scope="module", params=STOCKS.values(), ids=list(STOCKS))
def stock(request: pytest.FixtureRequest) -> Stock:
    made: Stock = request.param
    return made


@pytest.fixture(scope="module")
def served(launch: Launcher, stock: Stock) -> Served:
    def command(port: int) -> list[str]:
        return [part.format(f"127.0.0.1:{port}", port=port) for part in stock.command]

    return launch(stock.folder, command, env={"DJANGO_SECRET_KEY": "a test's", "DJANGO_ALLOWED_HOSTS": "127.0.0.1"})


def test_a_request_that_the_owner_did_not_sign_is_refused_and_the_view_does_not_run(
    served: Served, stock: Stock, signer: RequestSigner
) -> None:
    for path in stock.paths:
        for how, headers in forgeries(signer, path).items():
            assert served.post(path, headers, {"item": "all the silver"}).status_code == 401, how
        assert served.post(f"{path}?now", signer.headers(path), {"item": "tea"}).status_code == 200
    assert served.has_printed(f"taking one tea, signed by {signer.public_key}")
    assert not served.has_printed("taking one all the silver")
    assert served.refusals()


def test_the_decoded_path_is_what_is_signed(served: Served, signer: RequestSigner) -> None:
    headers = signer.headers(TAKE)
    assert served.post("/invoke/St%6Fck/take", headers, {"item": "tea"}).status_code == 200
    assert served.post("/invoke%2FStock/take", headers, {"item": "tea"}).status_code == 401


def test_the_exempt_path_stays_open_and_nothing_beside_it(served: Served) -> None:
    assert served.get("/alive").json() == {"status": "ok"}
    assert served.get("/alive/").status_code == 401


def test_the_calls_of_the_readme_are_refused_without_a_signature_and_accepted_with_it(
    served: Served, stock: Stock, identity_pem: Path
) -> None:
    assert calls_of_the_readme(stock.folder, {"http://localhost:8000": served.url}, identity_pem) == ["401", "200"]
