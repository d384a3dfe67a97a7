"""How far the clock of this machine is from that of a server."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from restate_identity.cli.complaints import fail

TIMEOUT = 10.0


def seconds_ahead_of(url: str) -> float:
    """Return how many seconds the clock of this machine is ahead of the one that the ``Date`` header of *url* tells.

    It is right to about a second, for that is what the header is (RFC 9110, 5.6.7). The command fails if there is no
    answer, or none with a date.
    """
    address = urlsplit(url)
    server = f"{address.scheme}://{address.netloc}"
    # A proxy that the environment names is for what is far away.
    is_near = address.hostname in ("127.0.0.1", "::1", "localhost")
    try:
        with httpx.Client(timeout=TIMEOUT, headers={"accept-encoding": "identity"}, trust_env=not is_near) as client:
            before = time.time()
            # Its body can be anything, and is not read.
            with client.stream("GET", url) as response:
                now = (before + time.time()) / 2
                date = response.headers.get("date", "")
    except (httpx.TransportError, httpx.InvalidURL) as error:
        fail(f"cannot reach {server}: {error or type(error).__name__}; is it running?")
    try:
        # The header leaves out what is less than a second: in the middle, half of one.
        return now - (parsedate_to_datetime(date).timestamp() + 0.5)
    except ValueError:
        fail(f"{server} does not tell its time: it sends no Date that can be read")
