"""Some servers let a caller choose where an application is mounted.

gunicorn takes the mount point from the header ``SCRIPT_NAME`` of any client on the same machine, daphne from the header
``Daphne-Root-Path`` of any client at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from restate_identity.signing import RequestSigner
from tests.support.servers import Server, daphne, gunicorn, serve

SIGNER = RequestSigner.generate()
OPEN = "/invoke/A/open"
KEY = str(SIGNER.public_key)
# With which status the guard refuses. Before a dependency runs, FastAPI itself may answer that it has no such route.
REFUSED = {
    **dict.fromkeys(("flask", "starlette", "quart", "litestar"), (401,)),
    "fastapi-dependency": (401, 404, 307),
}

Ask = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def wsgi() -> Iterator[Server]:
    with serve(*gunicorn("tests.support.apps.mounted:app"), identity_key=KEY) as served:
        yield served


@pytest.fixture(scope="module")
def asgi() -> Iterator[Server]:
    with serve(*daphne("tests.support.apps.mounted_asgi:app"), identity_key=KEY) as served:
        yield served


@pytest.fixture(params=REFUSED)
def framework(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def asked(framework: str, wsgi: Server, asgi: Server) -> Ask:
    """A function that asks the application, mounted where the caller says."""
    served, header = (wsgi, "SCRIPT_NAME") if framework == "flask" else (asgi, "Daphne-Root-Path")

    def asked(path: str, mount_point: str | None, *, signed: str | None = None) -> tuple[int, bytes]:
        headers = [("x-app", framework), *([] if signed is None else SIGNER.headers(signed).items())]
        if mount_point is not None:
            headers.append((header, mount_point))
        answer = served.request(path, headers, method="GET")
        return answer.status, answer.body

    return asked


@pytest.mark.parametrize(
    ("path", "mount_point"),
    [
        ("/public/invoke/B/secret", "/public"),
        ("/public/secret", "/public"),
        ("/public/secret", "/public/"),
        ("/public/", "/public"),
        ("/alive", "/alive"),
        ("/public/invoke/B/secret", None),
    ],
)
def test_no_mount_point_opens_what_is_not_exempt(
    asked: Ask, framework: str, path: str, mount_point: str | None
) -> None:
    status, body = asked(path, mount_point)
    assert status in REFUSED[framework]
    assert b"ran" not in body


@pytest.mark.parametrize("mount_point", ["/invoke", OPEN, "/inv", "/invoke/A", "/invoke/"])
def test_no_mount_point_turns_a_token_into_one_for_another_view(asked: Ask, framework: str, mount_point: str) -> None:
    for path, below in ((OPEN, mount_point), (f"/secret{OPEN}", f"/secret{OPEN}")):
        status, body = asked(path, below, signed=OPEN)
        # Starlette looks for a whole segment, so below /inv it runs the view of the token.
        is_the_same_view = framework == "fastapi-dependency" and body == b"ran /invoke/A/open"
        assert is_the_same_view or status in REFUSED[framework]


def test_a_mount_point_in_the_middle_of_the_path_opens_nothing(asked: Ask) -> None:
    for path, mount_point in (("/public/x/secret", "/x"), ("/public/secret", "blic")):
        assert b"ran" not in asked(path, mount_point)[1]
    assert b"ran /A/open" not in asked(f"/x{OPEN}", "/invoke", signed=OPEN)[1]


def test_below_a_mount_point_and_without_one_genuine_and_exempt_requests_are_served(asked: Ask) -> None:
    assert asked(OPEN, None, signed=OPEN) == (200, b"ran /invoke/A/open")
    assert asked(f"/app{OPEN}", "/app", signed=OPEN) == (200, b"ran /invoke/A/open")
    assert asked("/alive", None) == (200, b"ran /alive")
    assert asked("/public/page", None) == (200, b"ran /public/page")
