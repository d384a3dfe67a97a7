"""Compare the clock of this machine with that of a Restate server."""

from __future__ import annotations

import time

import httpx

from restate_identity._http_server import UNUSABLE, is_near, origin, seconds_ahead, unusable
from restate_identity.cli.complaints import fail

TIMEOUT = 10.0
# How to recognise a service: the SDKs add this header to every response, and this library's guards this challenge.
_SDK_HEADER = "x-restate-server"
_CHALLENGE = "RestateRequestIdentity"


def seconds_ahead_of(url: str) -> float:
    """Return how many seconds the clock of this machine is ahead of that of the Restate server at *url*.

    The command fails if there is no response, or if the response has no date or shows that it comes from a service. A
    Restate server has no mark of its own in all its responses, so other servers are taken for one.
    """
    server = origin(url)
    try:
        with httpx.Client(timeout=TIMEOUT, headers={"accept-encoding": "identity"}, trust_env=not is_near(url)) as http:
            before = time.time()
            # The body can be anything, so it is not read.
            with http.stream("GET", url) as response:
                now = (before + time.time()) / 2
                headers = response.headers
    except httpx.TransportError as error:
        fail(f"cannot reach {server}: {error or type(error).__name__}; is it running?")
    except UNUSABLE:
        fail(unusable(url))
    if _SDK_HEADER in headers or _CHALLENGE in headers.get("www-authenticate", ""):
        fail(f"{server} is a service: pass a URL of the Restate server, for instance http://127.0.0.1:9070")
    ahead = seconds_ahead(now, headers.get("date", ""))
    if ahead is None:
        fail(f"{server} does not tell its time: its response has no readable Date header")
    return ahead
