"""`sign`: prints the headers that Restate would send with a request, as lines, as a curl command or as JSON."""

from __future__ import annotations

import json
import shlex
from urllib.parse import quote

import click

from restate_identity._headers import TOKEN_HEADER
from restate_identity.cli.complaints import fail
from restate_identity.cli.options import json_option, private_key_option
from restate_identity.cli.reading import path_of, read_signer, require_path, warn_of_unusable


@click.command(short_help="Print the headers of a signed request.")
@private_key_option
@click.option("--path", required=True, help="The decoded path of the request, without the query.")
@click.option("--subject", help="The key of the virtual object or workflow.")
@click.option("--curl", "url", metavar="URL", help="Print a curl command for the service at URL instead.")
@click.option("--token", "only_token", is_flag=True, help="Print the token alone.")
@json_option
def sign(pem: str, path: str, subject: str | None, url: str | None, only_token: bool, as_json: bool) -> None:
    """Print the two headers that Restate would send with a request for PATH, valid for 60 seconds.

    \b
    Examples:
      restate-identity sign --key private.pem --path /invoke/Greeter/greet
      restate-identity sign --key private.pem --path /discover --curl http://127.0.0.1:9080
      restate-identity sign --key private.pem --path /discover | curl -H @- http://127.0.0.1:9080/discover
    """
    if (url is not None) + only_token + as_json > 1:
        raise click.UsageError("--curl, --token and --json exclude each other: choose one.")
    require_path(path)
    try:
        headers = read_signer(pem).headers(path, subject=subject)
    except ValueError as error:
        fail(f"--path and --subject must be text that has a UTF-8 form: {error}")
    warn_of_unusable(path)
    if url is not None:
        click.echo(_curl_command(headers, path, url))
    elif only_token:
        click.echo(headers[TOKEN_HEADER])
    elif as_json:
        click.echo(json.dumps(headers))
    else:
        for name, value in headers.items():
            click.echo(f"{name}: {value}")


def _curl_command(headers: dict[str, str], path: str, url: str) -> str:
    if not path_of(url, "--curl is the URL of the service").endswith(path):
        url = url.rstrip("/") + quote(path)
    flags = (f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers.items())
    return " \\\n  ".join(["curl -i", *flags, shlex.quote(url)])
