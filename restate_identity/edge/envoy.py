"""A configuration with which Envoy verifies the signature itself, by its filters for JWTs and RBAC, and asks nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template

from restate_identity._headers import SCHEME, SCHEME_HEADER, TOKEN_HEADER
from restate_identity.edge import cel
from restate_identity.edge.jwks import key_set
from restate_identity.keys import PublicKey
from restate_identity.paths import SIGNED_FORM
from restate_identity.tokens import FORBIDDEN_MEMBERS
from restate_identity.verifier import MAX_TOKEN_SIZE

DIFFERENCES = (
    "a token is valid for one second more on both sides, because Envoy knows no smaller tolerance",
    "base64url with spare bits is accepted",
    "what is almost JSON is accepted: a comma at the end, single quotes, a control character in a text",
    "JSON may be nested to any depth, and the JOSE header may be of any size",
    "a time may have a fraction of zero or an exponent, and may be 2**53 or later",
    "a signature is accepted whose R is the neutral element, which only the owner of the private key can make",
    "a claim with a number that no double can hold is refused",
    "a refusal has the status 403, not 401, if the scheme, the path or a claim is wrong",
    "the service gets neither x-restate-identity-key nor x-restate-identity-subject",
    "keys change only with the configuration, and there is neither a reason in a log nor a metric for each key",
)
"""How its verdicts differ from those of `EdgeApplication`. The tests send it all vectors, and find exactly these."""

_TEMPLATE = Template((Path(__file__).parent / "envoy.yaml").read_text("utf-8"))
# Where Envoy's filter for JWTs leaves what it has read, as the template says.
_FILTER, _CLAIMS, _HEADER = "envoy.filters.http.jwt_authn", "restate_claims", "restate_header"


def envoy_configuration(keys: Sequence[PublicKey], prefix: str) -> str:
    """Return the YAML of a complete configuration, in which 8080 is Envoy's port and 9080 the service's.

    Args:
        keys: The keys to trust.
        prefix: What stands before ``/discover`` and ``/invoke/…``, a `checked_prefix`.
    """
    return _TEMPLATE.substitute(
        differences="".join(f"#   - {difference}.\n" for difference in DIFFERENCES),
        keys=json.dumps(key_set(keys)),
        path=re.escape(prefix) + SIGNED_FORM,
        condition=json.dumps(_condition(prefix)),
        prefix=prefix,
        below=prefix or "/",
    )


def _condition(prefix: str) -> cel.Expression:
    """Return what the two regular expressions cannot say. What is missing is an error, which Envoy takes for a no."""
    path, headers = cel.name("request.url_path"), cel.name("request.headers")
    # Envoy puts commas between the values of a repeated header here. Its regular expressions see each value alone.
    scheme, token = cel.item(headers, SCHEME_HEADER), cel.item(headers, TOKEN_HEADER)
    metadata = cel.item(cel.name("metadata.filter_metadata"), _FILTER)
    claims, header = cel.item(metadata, _CLAIMS), cel.item(metadata, _HEADER)
    audience, *times = (cel.item(claims, claim) for claim in ("aud", "nbf", "iat", "exp"))
    return cel.every(
        cel.equal(scheme, cel.text(SCHEME)),
        cel.no(cel.method(token, "contains", cel.text(","))),
        cel.at_most(cel.call("size", token), cel.whole(MAX_TOKEN_SIZE)),
        cel.no(cel.equal(cel.item(header, "kid"), cel.text(""))),
        cel.either(cel.no(cel.has(header, "typ")), cel.equal(cel.item(header, "typ"), cel.text("JWT"))),
        *(cel.no(cel.has(header, member)) for member in sorted(FORBIDDEN_MEMBERS)),
        *(cel.equal(time, cel.call("double", cel.call("int", time))) for time in times),
        cel.at_most(times[0], times[1]),
        cel.at_most(times[1], times[2]),
        cel.method(path, "endsWith", audience),
        cel.equal(cel.call("size", path), cel.call("_+_", cel.whole(len(prefix)), cel.call("size", audience))),
    )
