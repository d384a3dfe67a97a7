"""The head of a request as it came, and as the application is to see it."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from restate_identity.asgi import ENDS_EARLY, Scope
from restate_identity.tunnel.fields import has_line_break, is_field
from restate_identity.tunnel.forwarded_path import ForwardedPath
from restate_identity.tunnel.header_blocks import HeaderList

_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path"))


class Request(NamedTuple):
    """The head of a request."""

    method: str
    target: bytes
    """Its ``:path``."""
    headers: list[tuple[bytes, bytes]]
    """Without those of the protocol; the authority is ``host``."""
    size: int
    """Of the header list, as RFC 9113, 6.5.2 counts it."""
    length: int | None
    """What the body must come to (content-length); None if that is not said."""
    ended: bool
    """There is no body."""
    malformed: bool
    """It must not be served (RFC 9113, 8.1.1)."""


def request_head(received: HeaderList, *, ended: bool) -> Request:
    """Return the request with the header fields that were *received*.

    They are checked here and not by h2, which ends the whole connection over a field that it does not like, a ``host``
    beside another ``:authority`` for instance, as a proxy in between may well send it.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    cookies: list[bytes] = []
    lengths: set[bytes] = set()
    malformed, has_host = False, False
    for name, value in received.fields:
        if name[:1] == b":":
            malformed = malformed or bool(headers or cookies) or name in pseudo or has_line_break(value)
            pseudo[name] = value
            continue
        malformed = malformed or not is_field(name, value)
        has_host = has_host or name == b"host"
        if name == b"cookie":
            cookies.append(value)
            continue
        if name == b"content-length":
            # The same once more is left out (RFC 9110, 8.6).
            if value in lengths:
                continue
            lengths.add(value)
        headers.append((name, value))
    method = pseudo.get(b":method", b"")
    malformed = malformed or _METHOD(method) is None or not _PSEUDO.issuperset(pseudo)
    if not has_host and (authority := pseudo.get(b":authority")):
        headers.insert(0, (b"host", authority))
    if cookies:
        # HTTP/2 may cut it into pieces, which nobody else expects (RFC 9113, 8.2.3).
        headers.append((b"cookie", b"; ".join(cookies)))
    length: int | None = None
    if lengths:
        malformed = malformed or len(lengths) > 1 or not all(map(_LENGTH, lengths))
        length = None if malformed else int(lengths.pop())
        malformed = malformed or (ended and length != 0)
    path = pseudo.get(b":path", b"")
    return Request(method.decode("latin-1"), path, headers, received.size, length, ended, malformed)


def trailers_are_malformed(received: HeaderList) -> bool:
    """Return whether the trailers of a request are such as no client may send (RFC 9113, 8.1)."""
    return not all(is_field(name, value) for name, value in received.fields)


def asgi_scope(request: Request, forwarded: ForwardedPath) -> Scope:
    """Return what the application is told about *request*: it routes on the path without the tunnel's segments."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": request.method,
        "scheme": "https",
        "path": unquote(forwarded.path.decode("ascii")),
        "raw_path": forwarded.path,
        "query_string": forwarded.query,
        "root_path": "",
        "headers": request.headers,
        "client": None,
        "server": ("in-process", 9080),
        "extensions": {ENDS_EARLY: {}},
    }
