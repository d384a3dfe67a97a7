"""Name an HTTP server by its URL, and compare this machine's clock with its ``Date`` header."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

try:
    import httpx
except ImportError as _error:
    raise ImportError("httpx is missing: pip install 'restate-identity[cli]'", name=_error.name) from _error

UNUSABLE = (httpx.InvalidURL, ValueError, ImportError, OSError)
"""The errors of httpx for a URL, a proxy or certificates that it cannot use. Their texts quote the proxy's URL, which
may contain a password: report `unusable` instead."""


def origin(url: str) -> str:
    """Return the scheme, host and port of *url*, which must have no user and password."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}"


def unusable(url: str) -> str:
    """Return the message for an `UNUSABLE` error of a request to *url*."""
    return f"cannot reach {origin(url)}: check the URL, and the environment variables for proxies and certificates"


def is_near(url: str) -> bool:
    """Return whether *url* is on this machine. If so, do not use the proxy in the environment."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def seconds_ahead(now: float, date: str) -> float | None:
    """Return how many seconds the time *now* is ahead of a ``Date`` header, or None if the header cannot be read.

    The result is exact to half a second, because the header has only whole seconds (RFC 9110, 5.6.7).
    """
    try:
        # Add the fraction that the header leaves out, half a second on average.
        return now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except (ValueError, OverflowError):
        return None
