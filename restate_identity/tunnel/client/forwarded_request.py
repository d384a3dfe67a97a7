"""What a forwarded request asks for: the origin, the version of HTTP, and the head that the target gets."""

from __future__ import annotations

import re
from functools import lru_cache

from restate_identity.asgi import Scope
from restate_identity.tunnel.beyond_asgi import FORWARDED, Forwarded
from restate_identity.tunnel.client.exchange import RequestHead, Version
from restate_identity.tunnel.client.origins import Origin, origin
from restate_identity.tunnel.fields import BLANKS

_is_target = re.compile(rb"[!-~]+").fullmatch
VERSION_HEADER = b"x-restate-tunnel-http-version"
_VERSIONS = {b"HTTP/2.0": Version.HTTP2, b"HTTP/1.1": Version.HTTP1}


def requested_origin(scope: Scope) -> Origin:
    """Return where the request is to go.

    Raises:
        ValueError: It is spelled in another way than the accepted one. The message says how to write it.
    """
    return _origin(*_forwarded(scope).destination)


def requested_version(scope: Scope, origin: Origin) -> Version:
    """Return how the target is to be spoken to. Without the header it is ALPN for https, and HTTP/2 for http.

    Raises:
        ValueError: The header has another value, or is repeated.
    """
    values = [value for name, value in scope["headers"] if name == VERSION_HEADER]
    if not values:
        return Version.ALPN if origin.scheme == "https" else Version.HTTP2
    version = _VERSIONS.get(values[0])
    if version is None or len(values) > 1:
        raise ValueError(f"{VERSION_HEADER.decode()} must be HTTP/2.0 or HTTP/1.1")
    return version


def request_head(scope: Scope, origin: Origin) -> RequestHead:
    """Return the head that the target gets: the same, but for the authority and the header of the version.

    Raises:
        ValueError: The method asks for something else than a response, or the path or the query has a character that
            HTTP/1.1 would take for its end.
    """
    method: str = scope["method"]
    if method == "CONNECT":
        raise ValueError("CONNECT is not forwarded")
    query: bytes = scope["query_string"]
    path: bytes = scope["raw_path"]
    target = b"%s?%s" % (path, query) if query else path
    if not _is_target(target):
        raise ValueError("the path and the query must be printable ASCII without spaces")
    return RequestHead(
        method.encode("latin-1"),
        target,
        _authority(origin),
        # Some servers end the whole connection because of blanks around a value.
        [(name, value.strip(BLANKS)) for name, value in scope["headers"] if _passes(name, value)],
        _forwarded(scope).ended,
    )


def _forwarded(scope: Scope) -> Forwarded:
    forwarded: Forwarded = scope["extensions"][FORWARDED]
    return forwarded


def _passes(name: bytes, value: bytes) -> bool:
    if name == b"te":
        # The only coding that HTTP/2 allows (RFC 9113, 8.2.2).
        return value == b"trailers"
    return name != b"host" and name != VERSION_HEADER


@lru_cache(maxsize=1024)
def _origin(scheme: bytes, host: bytes, port: bytes) -> Origin:
    return origin(scheme.decode("latin-1"), host.decode("latin-1"), port.decode("latin-1"))


@lru_cache(maxsize=1024)
def _authority(origin: Origin) -> bytes:
    return origin.authority.encode()
