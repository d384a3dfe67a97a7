"""Quote untrusted text for messages."""

from __future__ import annotations


def quoted(text: object, limit: int = 100) -> str:
    """Return untrusted *text* safe for a log line: quoted, in ASCII, cut after *limit* characters."""
    if not isinstance(text, str):
        return f"a value of type {type(text).__name__}"
    return ascii(text) if len(text) <= limit else f"{text[:limit]!a}... ({len(text)} characters)"
