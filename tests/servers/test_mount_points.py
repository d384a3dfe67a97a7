"""gunicorn takes the mount point from the header ``SCRIPT_NAME`` of any client on the same machine."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from restate_identity.signing import RequestSigner
from tests.support.servers import Server, gunicorn, serve

SIGNER = RequestSigner.generate()
OPEN = "/invoke/A/open"


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    with serve(*gunicorn("tests.support.apps.mounted:app"), identity_key=str(SIGNER.public_key)) as served:
        yield served


def asked(served: Server, path: str, mount_point: str | None, *, signed: str | None = None) -> tuple[int, bytes]:
    headers = [] if signed is None else list(SIGNER.headers(signed).items())
    mounted = [] if mount_point is None else [("SCRIPT_NAME", mount_point)]
    answer = served.request(path, [*headers, *mounted], method="GET")
    return answer.status, answer.body


@pytest.mark.parametrize(
    ("path", "mount_point"),
    [
        ("/public/invoke/B/secret", "/public"),
        ("/public/secret", "/public"),
        ("/public/", "/public"),
        ("/alive", "/alive"),
        ("/public/invoke/B/secret", None),
    ],
)
def test_no_mount_point_opens_what_is_not_exempt(served: Server, path: str, mount_point: str | None) -> None:
    assert asked(served, path, mount_point)[0] == 401


@pytest.mark.parametrize("mount_point", ["/invoke", OPEN, "/inv", "/invoke/A"])
def test_no_mount_point_turns_a_token_into_one_for_another_view(served: Server, mount_point: str) -> None:
    assert asked(served, OPEN, mount_point, signed=OPEN)[0] == 401
    assert asked(served, f"/secret{OPEN}", f"/secret{OPEN}", signed=OPEN)[0] == 401


def test_below_a_mount_point_and_without_one_genuine_and_exempt_requests_are_served(served: Server) -> None:
    assert asked(served, OPEN, None, signed=OPEN) == (200, b"ran /invoke/A/open")
    assert asked(served, f"/app{OPEN}", "/app", signed=OPEN) == (200, b"ran /invoke/A/open")
    assert asked(served, "/alive", None) == (200, b"ran /alive")
    assert asked(served, "/public/page", None) == (200, b"ran /public/page")
