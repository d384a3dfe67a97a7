"""A token as people paste it: alone, with "Bearer" in front, or in the headers of a request."""

from __future__ import annotations

import re
from typing import NamedTuple

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity.cli.complaints import fail, warn

# Header lines, as `sign` and `curl -v` print them; also in quotes, as in a curl command or in JSON.
_VALUE = r"""["']?\s*:\s*["']?((?:Bearer\s+)?[^\s"',\\]*)"""
_TOKENS = re.compile(TOKEN_HEADER + _VALUE, re.IGNORECASE)
_SCHEMES = re.compile(SCHEME_HEADER + _VALUE, re.IGNORECASE)
_BEARER = re.compile(r"Bearer\s+", re.IGNORECASE)


class Pasted(NamedTuple):
    """What was found in a text.

    Attributes:
        token: The token, or all of the text if there are no headers in it.
        scheme: The signature scheme, if the text tells one.
    """

    token: str
    scheme: str | None


def pasted(text: str) -> Pasted:
    """Return the token that *text* is or has in it; fail if it has several."""
    tokens, schemes = _TOKENS.findall(text), _SCHEMES.findall(text)
    if len(tokens) > 1 or len(schemes) > 1:
        fail("these are the headers of several requests, or one header is repeated: pass those of one request")
    if schemes and not tokens:
        fail(f"there is no {TOKEN_HEADER} among these headers")
    token = tokens[0] if tokens else text
    bearer = _BEARER.match(token)
    if bearer is not None:
        warn(f"'Bearer' is left out here, but a service refuses it: {TOKEN_HEADER} is the token alone")
        token = token[bearer.end() :]
    return Pasted(token, schemes[0] if schemes else None)
