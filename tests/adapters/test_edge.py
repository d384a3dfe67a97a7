"""`EdgeApplication`: a proxy's question, and the answer, in this process."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

from restate_identity import IdentityVerifier, Reason
from restate_identity.edge import EdgeApplication
from restate_identity.signing import RequestSigner
from tests.support.notes import Notes

PATH = "/invoke/Greeter/greet"
SIGNER = RequestSigner.generate()
HEADERS = {
    "nginx": "x-original-uri",
    "caddy": "x-forwarded-uri",
    "traefik": "x-forwarded-uri",
    "haproxy": "x-original-uri",
}
PREFIX = "/restate"

Fields = list[tuple[str, str]]


def edge(behind: str = "nginx", prefix: str = PREFIX, **options: Any) -> EdgeApplication:
    return EdgeApplication(behind=behind, prefix=prefix, verifier=IdentityVerifier([SIGNER.public_key]), **options)


def signed(path: str = PATH, subject: str | None = None) -> Fields:
    return list(SIGNER.headers(path, subject=subject).items())


def ask(application: EdgeApplication, fields: Fields, target: str | None = "/") -> tuple[int, dict[str, str]]:
    """Return status and headers of the answer to a question; None is the target of a server that does not tell it."""
    path, _, query = (target or "").partition("?")
    scope = {
        "type": "http",
        "method": "GET",
        "http_version": "1.1",
        "path": path,
        "raw_path": None if target is None else path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(application(scope, receive, send))
    assert [message["type"] for message in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def about(path: str, behind: str = "nginx") -> Fields:
    return [(HEADERS[behind], path)]


@pytest.mark.parametrize("behind", HEADERS)
def test_it_judges_the_path_in_the_header_of_the_proxy(behind: str) -> None:
    assert ask(edge(behind), [*about(PREFIX + PATH, behind), *signed()])[0] == 200
    assert ask(edge(behind), [*about(f"{PREFIX}/invoke/Other/x", behind), *signed()])[0] == 401
    assert ask(edge(behind), signed(), target=PREFIX + PATH)[0] == 401


def test_behind_envoy_it_judges_the_request_line() -> None:
    assert ask(edge("envoy"), signed(), target=PREFIX + PATH)[0] == 200
    assert ask(edge("envoy"), signed(), target=f"{PREFIX}{PATH}?a=b")[0] == 200
    assert ask(edge("envoy"), signed(), target=f"{PREFIX}{PATH}?a\x7f")[0] == 401
    assert ask(edge("envoy"), signed(), target=f"{PREFIX}/invoke/Other/x")[0] == 401
    assert ask(edge("envoy"), [*about(PREFIX + PATH), *signed()], target="/")[0] == 401


@pytest.mark.parametrize("behind", HEADERS)
def test_the_headers_of_other_proxies_mean_nothing(behind: str) -> None:
    others = {"x-original-uri", "x-forwarded-uri", "x-original-url", "x_original_uri", "x_forwarded_uri"} - {
        HEADERS[behind]
    }
    spoofed = [(name, PREFIX + PATH) for name in others]
    assert ask(edge(behind), [*spoofed, *signed()])[0] == 401
    assert ask(edge(behind), [*spoofed, *about(f"{PREFIX}/invoke/Other/x", behind), *signed()])[0] == 401


@pytest.mark.parametrize(
    "name",
    [
        "X_Restate_Identity_Key",
        "x-restate-identity_key",
        "x.restate.identity.subject",
        "X+Restate~Identity!Subject",
        "x_original_url",
        "X-Rewrite.Url",
    ],
)
def test_a_name_that_some_servers_take_for_one_of_the_proxys_own_is_refused(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert ask(edge(), [(name, "forged"), *about(PREFIX + PATH), *signed()])[0] == 401
    assert "somebody forged it" in caplog.text
    hyphens = re.sub("[^A-Za-z]", "-", name)
    assert ask(edge(), [(hyphens, "the proxy's to remove"), *about(PREFIX + PATH), *signed()])[0] == 200


def test_a_path_that_is_reported_twice_is_refused() -> None:
    assert ask(edge(), [*about(PREFIX + PATH), *about(PREFIX + PATH), *signed()])[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        f"/other{PATH}",
        f"/RESTATE{PATH}",
        f"{PREFIX}{PREFIX}{PATH}",
        f"{PREFIX}/invoke/B/y#{PATH}",
        f"{PREFIX}/invoke/B/y;{PATH}",
        f"{PREFIX}/invoke/B/y?{PATH}",
        f"{PREFIX}{PATH}/",
        f"{PREFIX}{PATH}#",
        f"{PREFIX}{PATH};a",
        f"{PREFIX}{PATH}%20",
        f"{PREFIX}{PATH}?a\x7f",
        f"{PREFIX}{PATH}?\udcc3",
        f"{PREFIX}/{PATH}",
        f"{PREFIX}/.{PATH}",
        f"{PREFIX}/../restate{PATH}",
        f"{PREFIX}/%69nvoke/Greeter/greet",
        f"{PREFIX}/Invoke/Greeter/greet",
        f"{PREFIX}/invoke/Greeter/gr%65et",
        f"{PREFIX}\\invoke\\Greeter\\greet",
        f"http://localhost{PREFIX}{PATH}",
        "",
        "*",
    ],
)
def test_any_path_but_the_prefix_and_the_signed_path_is_refused(path: str) -> None:
    assert ask(edge(), [*about(path), *signed()])[0] == 401


def test_a_path_and_its_query_have_16_384_characters_at_most() -> None:
    longest = f"{PREFIX}{PATH}?".ljust(16_384, "a")
    for path, status in ((longest, 200), (f"{longest}a", 401)):
        assert ask(edge(), [*about(path), *signed()])[0] == status
        assert ask(edge("envoy"), signed(), target=path)[0] == status


def test_the_query_of_a_deployment_is_no_part_of_the_path() -> None:
    assert ask(edge(), [*about(f"{PREFIX}{PATH}?version=2&a=%20"), *signed()])[0] == 200


def test_a_path_that_restate_cannot_sign_is_refused_even_if_it_is_signed() -> None:
    for path in ("/", "/other", "/invoke/A"):
        assert ask(edge(), [*about(PREFIX + path), *signed(path)])[0] == 401


def test_without_a_prefix_the_whole_path_is_the_signed_one() -> None:
    assert ask(edge(prefix=""), [*about(PATH), *signed()])[0] == 200
    assert ask(edge(prefix=""), [*about("/discover"), *signed("/discover")])[0] == 200
    assert ask(edge(prefix=""), [*about(PREFIX + PATH), *signed()])[0] == 401


def test_the_answer_hands_the_identity_on() -> None:
    status, headers = ask(edge(), [*about(PREFIX + PATH), *signed(subject="Ada & Grüße/π\r\n")])
    assert status == 200
    assert headers == {
        "content-length": "0",
        "x-restate-identity-key": str(SIGNER.public_key),
        "x-restate-identity-subject": "Ada%20%26%20Gr%C3%BC%C3%9Fe%2F%CF%80%0D%0A",
    }
    assert "x-restate-identity-subject" not in ask(edge(), [*about(PREFIX + PATH), *signed()])[1]


def test_a_refusal_is_the_401_of_every_guard() -> None:
    status, headers = ask(edge(), about(PREFIX + PATH))
    assert (status, headers["www-authenticate"]) == (401, "RestateRequestIdentity")


def test_a_health_check_is_not_let_through() -> None:
    assert ask(edge(), about(f"{PREFIX}/health"))[0] == 401
    assert ask(edge(), [*about(f"{PREFIX}/health"), *signed()])[0] == 401


def test_a_query_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    for headers in ((), signed()):
        assert ask(edge(), [*about(f"{PREFIX}/admin?password=hunter2"), *headers])[0] == 401
    assert len(caplog.records) == 2
    assert "hunter2" not in caplog.text


def test_the_observer_and_the_log_tell_why(caplog: pytest.LogCaptureFixture) -> None:
    notes = Notes()
    application = edge(observer=notes)
    with caplog.at_level(logging.WARNING, "restate_identity"):
        ask(application, [*about(PREFIX + PATH), *signed()])
        ask(application, [*about("/other"), *signed()])
        ask(application, about("/other"))
        ask(application, signed())
        ask(edge("envoy"), signed(), target=None)
    assert [path for _, path, _ in notes.accepted_requests] == [PATH]
    assert [(error.reason, path) for error, path, _ in notes.refused_requests] == [
        (Reason.WRONG_AUDIENCE, "/other"),
        (Reason.MISSING_SCHEME, "/other"),
        (Reason.WRONG_AUDIENCE, ""),
    ]
    assert "the proxy reports the path '/other', and only /restate/discover and /restate/invoke/" in caplog.text
    assert "the proxy reports the path '', and only" in caplog.text
    assert "the proxy did not say exactly once which path was asked for" in caplog.text
    assert "no path that can be read" not in caplog.text


@pytest.mark.parametrize(
    "prefix", ["/", "restate", "/restate/", "//", "/a//b", "/..", "/a/.b", "/a%20", "/a;b", "/ä", "/a\n"]
)
def test_a_prefix_that_has_more_than_one_reading_is_refused_at_the_start(prefix: str) -> None:
    with pytest.raises(ValueError, match="is not plain"):
        edge(prefix=prefix)


@pytest.mark.parametrize(("prefix", "shown"), [("key_abcdefghijkl", "(16 characters that may be a secret)"), (5, "5")])
def test_what_is_no_prefix_is_quoted_unless_it_may_be_a_secret(prefix: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"the prefix {shown!r} is not plain")):
        edge(prefix=prefix)


def test_the_proxy_must_be_one_of_those_that_are_known() -> None:
    with pytest.raises(ValueError, match="nginx, caddy, traefik, envoy, haproxy, not 'apache'"):
        edge("apache")


def test_a_websocket_is_refused_and_a_lifespan_is_none_of_its_business() -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "headers": [(b"x-original-uri", (PREFIX + PATH).encode())]}
    asyncio.run(edge()(scope, None, send))  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]
    with pytest.raises(NotImplementedError, match="nothing to start"):
        asyncio.run(edge()({"type": "lifespan"}, None, None))  # type: ignore[arg-type]
