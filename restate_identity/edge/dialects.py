"""Where each reverse proxy says which path was asked for. The operator names the proxy; nothing is guessed.

A proxy overwrites only the header that it sets itself and passes forged copies of the others on. So exactly one place
is read, and never "the first header that is there".
"""

from __future__ import annotations

from collections.abc import Iterable

# The header with the path as the client sent it; None if the proxy asks with the client's path in the request line.
DIALECTS: dict[str, bytes | None] = {
    "nginx": b"x-original-uri",
    "caddy": b"x-forwarded-uri",
    "traefik": b"x-forwarded-uri",
    "envoy": None,
    "haproxy": b"x-original-uri",
}


def reported_path(behind: str, raw_target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """Return the path and query that the proxy asks about, or None if it does not say exactly one.

    Args:
        behind: A key of `DIALECTS`.
        raw_target: The request line's path and query.
        headers: Of the proxy's question.
    """
    wanted = DIALECTS[behind]
    found = [raw_target] if wanted is None else [value for name, value in headers if name.lower() == wanted]
    if len(found) != 1:
        return None
    [target] = found
    # Bytes that are not ASCII become surrogates, which no judged path contains.
    return target.decode("ascii", "surrogateescape")
