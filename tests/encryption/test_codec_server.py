"""The codec server: the bare bytes in and out, for those who have the token."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from restate_identity.encryption import JournalEncryption
from restate_identity.encryption.codec_server import CodecServer
from tests.encryption.providers import Keys, from_another_process, not_ready

TOKEN = "16-characters-.."
UI = "https://ui.example"
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def asked(
    method: str,
    path: str,
    headers: dict[str, str] | None = None,
    body: bytes | AsyncIterator[bytes] = b"",
    provider: Keys | None = None,
    **options: object,
) -> httpx.Response:
    codec = await JournalEncryption.create(Keys()) if provider is None else not_ready(provider)
    server = CodecServer(codec, token=TOKEN, **options)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://127.0.0.1") as client:
        response = await client.request(method, path, headers=headers, content=body)
    size = None if response.status_code == 204 else str(len(response.content))
    assert response.headers.get("content-length") == size
    return response


async def in_parts(body: bytes) -> AsyncIterator[bytes]:
    yield body[:10]
    yield body[10:]


async def test_a_value_is_encrypted_and_decrypted() -> None:
    sealed = await asked("POST", "/encrypt", BEARER, b"value")
    assert sealed.content.startswith(b"RTv1\0")
    assert sealed.headers["content-type"] == "application/octet-stream"
    assert sealed.headers["cache-control"] == "no-store"
    assert sealed.headers["x-content-type-options"] == "nosniff"
    opened = await asked("POST", "/decrypt", BEARER, in_parts(sealed.content))
    assert (opened.status_code, opened.content) == (200, b"value")


@pytest.mark.parametrize(
    "given",
    [
        *({}, {"authorization": ""}, {"authorization": TOKEN}, {"authorization": "Bearer"}),
        *({"authorization": f"Bearer {TOKEN}x"}, {"authorization": f"Bearer {TOKEN[:-1]}"}),
        *({"authorization": f"Basic {TOKEN}"}, {"authorization": f"Bearer  {TOKEN}"}, {"authorization": "Bearer ü"}),
    ],
    ids=str,
)
@pytest.mark.parametrize("path", ["/decrypt", "/encrypt", "/"])
async def test_without_the_token_nothing_is_answered(given: dict[str, str], path: str) -> None:
    headers = {name: value.encode() for name, value in given.items()}
    response = await asked("POST", path, headers, await from_another_process(b"value"))  # type: ignore[arg-type]
    assert (response.status_code, response.content, response.headers["www-authenticate"]) == (401, b"", "Bearer")
    assert "content-type" not in response.headers


async def test_the_name_of_the_scheme_may_be_written_in_any_way_and_the_header_but_once() -> None:
    assert (await asked("POST", "/encrypt", {"authorization": f"bEARER {TOKEN}"})).status_code == 200
    twice = [("authorization", f"Bearer {TOKEN}")] * 2
    assert (await asked("POST", "/encrypt", twice)).status_code == 401  # type: ignore[arg-type]


async def test_a_bad_value_says_why_and_an_outage_to_try_later() -> None:
    bad = await asked("POST", "/decrypt", BEARER, b"my plaintext")
    assert (bad.status_code, bad.json()["reason"], set(bad.json())) == (422, "not_encrypted", {"reason", "message"})
    assert bad.headers["content-type"] == "application/json"
    assert "my plaintext" not in bad.text
    provider = Keys()
    provider.failure = OSError()
    for path in ("/decrypt", "/encrypt"):
        later = await asked("POST", path, BEARER, await from_another_process(b"value"), provider)
        assert later.status_code == 503


async def test_a_body_beyond_the_limit_is_refused() -> None:
    assert (await asked("POST", "/encrypt", BEARER, bytes(100), max_body=100)).status_code == 200
    assert (await asked("POST", "/encrypt", BEARER, bytes(101), max_body=100)).status_code == 413


async def test_there_is_nothing_else() -> None:
    assert (await asked("GET", "/", BEARER)).status_code == 404
    for method in ("GET", "PUT"):
        wrong = await asked(method, "/decrypt", {"origin": UI, **BEARER}, origin=UI)
        assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST, OPTIONS")
        assert allowed(wrong) == {"access-control-allow-origin": UI}


def allowed(response: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in response.headers.items() if name.startswith("access-control-")}


@pytest.mark.parametrize("origin", [None, "https://evil.example", "null", f"{UI}.evil.example", "http://ui.example"])
async def test_scripts_of_other_origins_may_read_nothing(origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    for method, extra in (("OPTIONS", {}), ("POST", BEARER)):
        assert allowed(await asked(method, "/decrypt", {**headers, **extra}, origin=UI)) == {}


async def test_scripts_of_the_named_origin_may_read_the_answers() -> None:
    preflight = await asked("OPTIONS", "/decrypt", {"origin": UI}, origin=UI)
    assert preflight.status_code == 204
    assert allowed(preflight) == {
        "access-control-allow-origin": UI,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": "authorization, content-type",
        "access-control-allow-private-network": "true",
        "access-control-max-age": "600",
    }
    for origin, headers in ((UI, BEARER), (UI, {}), ("http://127.0.0.1:9070", BEARER)):
        response = await asked("POST", "/decrypt", {"origin": origin, **headers}, origin=origin)
        assert allowed(response) == {"access-control-allow-origin": origin}
        assert response.headers["vary"] == "origin"


async def test_by_default_no_origin_is_allowed() -> None:
    assert allowed(await asked("OPTIONS", "/decrypt", {"origin": UI})) == {}


@pytest.mark.parametrize("token", ["", "15-characters-.", "sixteen characters", "ü" * 16, "\n" * 20])
async def test_a_token_that_is_too_short_or_cannot_be_sent_is_an_error(token: str) -> None:
    codec = await JournalEncryption.create(Keys())
    with pytest.raises(ValueError, match="at least 16 characters"):
        CodecServer(codec, token=token)
    CodecServer(codec, token="a-token-of-24-characters")


@pytest.mark.parametrize(
    "origin", ["*", "", "ui.example", "https://", "https://ui.example/", "https://*.example", "file://x"]
)
async def test_what_is_no_origin_is_an_error(origin: str) -> None:
    codec = await JournalEncryption.create(Keys())
    with pytest.raises(ValueError, match="the origin is that of one page"):
        CodecServer(codec, token=TOKEN, origin=origin)


async def test_whoever_goes_away_gets_no_value() -> None:
    codec = await JournalEncryption.create(Keys())
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    headers = [(b"authorization", BEARER["authorization"].encode())]
    scope = {"type": "http", "method": "POST", "path": "/encrypt", "headers": headers}
    await CodecServer(codec, token=TOKEN)(scope, receive, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 413
    with pytest.raises(NotImplementedError):
        await CodecServer(codec, token=TOKEN)({"type": "lifespan"}, receive, send)  # type: ignore[arg-type]
