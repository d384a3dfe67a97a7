"""An ASGI application that encrypts and decrypts values for people: ``POST /encrypt`` and ``POST /decrypt``.

Requests and answers are the bare bytes, as in Restate's own codec server. Whoever has the token can read everything
that is encrypted, so each request needs it, whatever its origin: a page in the operator's browser has no token, by
whatever name it reaches this server.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from restate_identity.encryption.errors import EncryptionError, EncryptionReason
from restate_identity.encryption.journal import JournalEncryption

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

SHORTEST_TOKEN = 16
MAX_BODY = 64 * 1024 * 1024
_LATER = {EncryptionReason.NO_DATA_KEY, EncryptionReason.PROVIDER_UNAVAILABLE, EncryptionReason.PROVIDER_BUSY}


class CodecServer:
    """Answers those who have the token.

    Args:
        codec: Encrypts and decrypts.
        token: At least 16 characters, in ASCII.
        origin: The origin of the UI whose scripts may read the answers, ``https://host``; none by default.
        max_body: The maximum size of a request in bytes.

    Raises:
        ValueError: The token or the origin cannot be used.
    """

    def __init__(
        self, codec: JournalEncryption, *, token: str, origin: str | None = None, max_body: int = MAX_BODY
    ) -> None:
        self._codec = codec
        self._expected, self._origin = checked_access(token, origin)
        self._max_body = max_body

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(f"there is no {scope['type']} here")
        answer = _Answer(send, self._headers_for_scripts(scope))
        if scope["method"] == "OPTIONS":
            await answer.send(204)
        elif not self._has_token(scope):
            await answer.send(401, extra=[(b"www-authenticate", b"Bearer")])
        elif scope["path"] not in ("/encrypt", "/decrypt"):
            await answer.send(404)
        elif scope["method"] != "POST":
            await answer.send(405, extra=[(b"allow", b"POST, OPTIONS")])
        else:
            body = await self._body(receive)
            if body is None:
                await answer.send(413)
            else:
                await self._answer(scope["path"], body, answer)

    async def _answer(self, path: str, body: bytes, answer: _Answer) -> None:
        try:
            value = self._codec.encode(body) if path == "/encrypt" else await self._codec.decode(body)
        except EncryptionError as error:
            told = json.dumps({"reason": error.reason, "message": error.hint}).encode()
            await answer.send(503 if error.reason in _LATER else 422, told, kind=b"application/json")
            return
        await answer.send(200, value, kind=b"application/octet-stream")

    def _has_token(self, scope: Message) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        if len(given) != 1:
            return False
        scheme, _, token = given[0].partition(b" ")
        return hmac.compare_digest(scheme.lower() + b" " + token, self._expected)

    def _headers_for_scripts(self, scope: Message) -> Headers:
        headers: Headers = [(b"vary", b"origin")]
        if self._origin is None or [value for name, value in scope["headers"] if name == b"origin"] != [self._origin]:
            return headers
        headers.append((b"access-control-allow-origin", self._origin))
        if scope["method"] == "OPTIONS":
            headers += [
                (b"access-control-allow-methods", b"POST"),
                (b"access-control-allow-headers", b"authorization, content-type"),
                # A browser asks for it if the UI is public, and this server is on the same machine.
                (b"access-control-allow-private-network", b"true"),
                (b"access-control-max-age", b"600"),
            ]
        return headers

    async def _body(self, receive: Receive) -> bytes | None:
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part = message.get("body") or b""
            size += len(part)
            if size > self._max_body:
                return None
            parts.append(part)
            if not message.get("more_body"):
                return b"".join(parts)


class _Answer:
    """The answer to one request; no cache keeps it."""

    def __init__(self, send: Send, headers: Headers) -> None:
        self._send = send
        self._headers = headers

    async def send(self, status: int, body: bytes = b"", *, kind: bytes = b"", extra: Headers | None = None) -> None:
        headers = [
            *self._headers,
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
            *([(b"content-type", kind)] if kind else []),
            *([] if status == 204 else [(b"content-length", b"%d" % len(body))]),
            *(extra or []),
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})


def checked_access(token: str, origin: str | None) -> tuple[bytes, bytes | None]:
    """Return the header that a request needs, and the origin whose scripts may read the answers.

    Raises:
        ValueError: The token or the origin cannot be used.
    """
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"the token has at least {SHORTEST_TOKEN} characters, in ASCII and without white space")
    return b"bearer " + token.encode(), None if origin is None else _checked_origin(origin)


def _checked_origin(origin: str) -> bytes:
    scheme, _, host = origin.partition("://")
    if scheme not in ("http", "https") or not host or not host.isascii() or set("/*?#@ ") & set(host):
        raise ValueError("the origin is that of one page, such as https://ui.example, without a path")
    return origin.encode()
