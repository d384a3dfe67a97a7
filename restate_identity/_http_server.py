"""An HTTP server as seen from outside, by its URL: how it is named in messages, and what its clock says."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit


def origin(url: str) -> str:
    """Return the scheme, the host and the port of *url*, which has no user and no password."""
    address = urlsplit(url)
    return f"{address.scheme}://{address.netloc}"


def is_near(url: str) -> bool:
    """Return whether *url* is of this machine. A proxy that the environment names is for other machines only."""
    return urlsplit(url).hostname in ("127.0.0.1", "::1", "localhost")


def seconds_ahead(now: float, date: str) -> float | None:
    """Return how many seconds the time *now* is ahead of a ``Date`` header, or None if that cannot be read.

    The result is right to half a second, because the header has whole seconds only (RFC 9110, 5.6.7).
    """
    try:
        # The header leaves out the fraction of a second, which is a half on average.
        return now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except ValueError:
        return None
