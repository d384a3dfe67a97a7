"""How far the clock of this machine is from that of a Restate server."""

from __future__ import annotations

import time

import httpx

from restate_identity._http_server import UNUSABLE, is_near, origin, seconds_ahead, unusable
from restate_identity.cli.complaints import fail

TIMEOUT = 10.0
# The header that the SDKs put on every answer of a service, and the challenge of this library's guards.
_SDK_HEADER = "x-restate-server"
_CHALLENGE = "RestateRequestIdentity"


def seconds_ahead_of(url: str) -> float:
    """Return how many seconds the clock of this machine is ahead of that of the Restate server at *url*.

    The command fails if there is no answer, if it has no date, or if it comes from a service.
    """
    server = origin(url)
    try:
        with httpx.Client(timeout=TIMEOUT, headers={"accept-encoding": "identity"}, trust_env=not is_near(url)) as http:
            before = time.time()
            # Its body can be anything, and is not read.
            with http.stream("GET", url) as response:
                now = (before + time.time()) / 2
                headers = response.headers
    except httpx.TransportError as error:
        fail(f"cannot reach {server}: {error or type(error).__name__}; is it running?")
    except UNUSABLE:
        fail(unusable(url))
    if _SDK_HEADER in headers or _CHALLENGE in headers.get("www-authenticate", ""):
        fail(f"{server} is a service: pass a URL of the Restate server, whose clock counts, as http://127.0.0.1:9070")
    ahead = seconds_ahead(now, headers.get("date", ""))
    if ahead is None:
        fail(f"{server} does not tell its time: it sends no Date that can be read")
    return ahead
