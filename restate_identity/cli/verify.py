"""`verify`: says whether a service would accept a token now, and if not, why."""

from __future__ import annotations

import json
import time

import click

from restate_identity._headers import SCHEME
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import identity_key_option, json_option
from restate_identity.cli.printing import bad, good, show, shown_value, words
from restate_identity.cli.reading import read_token, require_path, verifier_with
from restate_identity.errors import VerificationError
from restate_identity.keys import PublicKey


@click.command(short_help="Say whether a service would accept a token now.")
@identity_key_option
@click.option("--path", required=True, help="The decoded path of the request, without the query.")
@click.option("--scheme", help="The value of x-restate-signature-scheme.  [default: as in the headers, or v1]")
@json_option
@click.argument("token", metavar="TOKEN|-")
def verify(token: str, identity_keys: tuple[PublicKey, ...], path: str, scheme: str | None, as_json: bool) -> int:
    """Verify a token as a service would now.

    TOKEN is the token, or header lines that contain it; "-" reads standard input. Without --identity-key, the keys come
    from the environment, as for a service: from RESTATE_IDENTITY_KEYS, for instance. The exit status is 0 if the token
    is accepted, 1 if it is refused.

    \b
    Examples:
      restate-identity verify --identity-key publickeyv1_... --path /invoke/Greeter/greet - < token.txt
      restate-identity sign --key private.pem --path /discover | restate-identity verify --path /discover -
    """
    require_path(path)
    verifier = verifier_with(identity_keys)
    given = read_token(token)
    scheme = scheme if scheme is not None else given.scheme or SCHEME
    try:
        identity = verifier.verify_signature(path, scheme, given.token)
    except VerificationError as error:
        if as_json:
            click.echo(json.dumps({"accepted": False, "reason": error.reason, "hint": error.hint}))
        else:
            show(bad(f"refused: {error}"))
        return NO
    if as_json:
        click.echo(json.dumps({"accepted": True, "identity": identity._asdict()}))
        return YES
    of_subject = "" if identity.subject is None else f", object {shown_value(identity.subject)}"
    left = identity.expires_at - time.time()
    show(good(f"accepted: {shown_value(identity.audience)}{of_subject}, for {words(left)} more"))
    return YES
