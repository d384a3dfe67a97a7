"""`export`: writes the identity keys in the forms that other programs verify with."""

from __future__ import annotations

import json

import click

from restate_identity.cli.complaints import fail
from restate_identity.cli.options import identity_key_option, prefix_option
from restate_identity.cli.reading import verifier_with
from restate_identity.edge.envoy import envoy_configuration
from restate_identity.edge.judged_path import checked_prefix
from restate_identity.edge.jwks import key_set
from restate_identity.keys import PublicKey


@click.group(short_help="Write the keys in the forms of other programs.")
def export() -> None:
    """Write the identity keys in a form that another program verifies with.

    Without --identity-key, the keys come from the environment, as for a service. Write the output again when the keys
    change.

    \b
    Examples:
      restate-identity export jwks --identity-key publickeyv1_...
      restate-identity export envoy --prefix /restate > envoy.yaml
    """


@export.command(short_help="A JSON Web Key Set.")
@identity_key_option
def jwks(identity_keys: tuple[PublicKey, ...]) -> None:
    """Print the keys as a JSON Web Key Set (RFC 7517).

    A program that verifies JWTs can check the signature and the time with it. It must also compare the audience, "aud",
    with the path of the request, or a token for one handler is good for all.

    \b
    Example:
      restate-identity export jwks --identity-key publickeyv1_... > jwks.json
    """
    click.echo(json.dumps(key_set(verifier_with(identity_keys).keys), indent=2))


@export.command(short_help="A configuration of Envoy that needs no edge.")
@prefix_option
@identity_key_option
def envoy(prefix: str, identity_keys: tuple[PublicKey, ...]) -> None:
    """Print a configuration with which Envoy verifies requests itself, without "restate-identity edge".

    Its comments say how its verdicts differ from those of an edge.

    \b
    Example:
      restate-identity export envoy --prefix /restate --identity-key publickeyv1_... > envoy.yaml
    """
    try:
        plain = checked_prefix(prefix)
    except ValueError as error:
        fail(f"--prefix: {error}")
    click.echo(envoy_configuration(verifier_with(identity_keys).keys, plain), nl=False)
