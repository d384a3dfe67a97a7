"""The routes of all applications here, the guards in front of them, and the response of a handler."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Callable

from restate_identity import IdentityVerifier
from restate_identity.restate_sdk import is_health_check

OPEN = "/invoke/A/open"
SECRET = "/invoke/B/secret"
DISCOVER_HANDLER = "/invoke/B/discover"
HEALTH_HANDLER = "/invoke/B/health"
DISCOVER = "/discover"
HEALTH = "/health"
PATHS = (OPEN, SECRET, DISCOVER_HANDLER, HEALTH_HANDLER, DISCOVER, HEALTH)

# The same routes once more, mounted by the framework's own means.
PREFIX = "/mounted"

NONE = "nothing is exempt"
LAST_SEGMENT = "the last segment health is exempt"
SDK_HEALTH_CHECK = "what the SDK calls a health check is exempt"

# Not one of ours: a guard that compares the end of the path only, and knows nothing of the rest.
ONLY_THE_END = "only the end of the path is looked at"

Exemption = Callable[[str], bool]


def ends_in_health(path: str) -> bool:
    return path.rsplit("/", 1)[-1] == "health"


EXEMPTIONS: dict[str, Exemption | tuple[()]] = {
    NONE: (),
    LAST_SEGMENT: ends_in_health,
    SDK_HEALTH_CHECK: is_health_check,
}

_GUARDS = (*EXEMPTIONS, ONLY_THE_END)

# Names the framework, and the guard by its number, of the application that is asked.
APP_HEADER = "x-app"

ran: Counter[str] = Counter()
"""How often each handler of this process ran, whatever became of its response."""

_SAYS = re.compile(rb"the handler (/[\w/]+) ran")


def said(path: str) -> str:
    """Return the answer of the handler of *path*, and count that it ran."""
    ran[path] += 1
    return f"the handler {path} ran"


def handler_that_ran(body: bytes) -> str | None:
    """Return the path of the handler that made the response, None if it was none."""
    found = _SAYS.search(body)
    if found is not None:
        return found[1].decode()
    # Of these two the SDK makes the answers itself.
    if b'"protocolMode"' in body:
        return DISCOVER
    return HEALTH if body == b'{"status":"ok"}' else None


def own_verifier() -> IdentityVerifier:
    """Return the verifier of a process that serves these applications."""
    # These applications get floods of refusals on purpose.
    logging.getLogger("restate_identity").disabled = True
    return IdentityVerifier([os.environ["IDENTITY_KEY"]])


def app_named(value: str) -> tuple[str, str]:
    """Return the framework and the guard that *value*, of the header `APP_HEADER`, names."""
    framework, _, number = value.partition(" ")
    return framework, _GUARDS[int(number)]


def app_value(framework: str, exemption: str) -> str:
    return f"{framework} {_GUARDS.index(exemption)}"
