"""Extract the token from pasted text: a token alone, one after "Bearer", or the headers of a request."""

from __future__ import annotations

import re
from typing import NamedTuple

from restate_identity._headers import SCHEME_HEADER, TOKEN_HEADER
from restate_identity.cli.complaints import fail, warn

# Header lines as `sign` and `curl -v` print them, and quoted headers as in a curl command or JSON.
_VALUE = r"""["']?\s*:\s*["']?((?:Bearer\s+)?[^\s"',\\]*)"""
_TOKENS = re.compile(TOKEN_HEADER + _VALUE, re.IGNORECASE)
_SCHEMES = re.compile(SCHEME_HEADER + _VALUE, re.IGNORECASE)
_BEARER = re.compile(r"Bearer\s+", re.IGNORECASE)


class Pasted(NamedTuple):
    """The result of `pasted`.

    Attributes:
        token: The token, or all of the text if it contains no headers.
        scheme: The signature scheme, if the text contains it.
    """

    token: str
    scheme: str | None


def pasted(text: str) -> Pasted:
    """Return the token in *text*; fail if there are several."""
    tokens, schemes = _TOKENS.findall(text), _SCHEMES.findall(text)
    if len(tokens) > 1 or len(schemes) > 1:
        fail("these are headers of several requests, or a header is repeated: pass the headers of one request")
    if schemes and not tokens:
        fail(f"there is no {TOKEN_HEADER} among these headers")
    token = tokens[0] if tokens else text
    bearer = _BEARER.match(token)
    if bearer is not None:
        warn(f"ignoring 'Bearer', but a service refuses it: {TOKEN_HEADER} must be the token alone")
        token = token[bearer.end() :]
    return Pasted(token, schemes[0] if schemes else None)
