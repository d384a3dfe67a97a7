"""`probe`: runs the audit in `restate_identity.probe`, and prints its report."""

from __future__ import annotations

import json
import sys

import click

from restate_identity.cli.complaints import fail
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import FILE, json_option
from restate_identity.cli.reading import read_signer
from restate_identity.cli.report import report_as_json, show_report
from restate_identity.probe import ProbeError, probe


@click.command("probe", short_help="Audit a running endpoint, in any language.")
@click.option(
    "--key", "pem", type=FILE, metavar="private.pem", help="The private key that the endpoint trusts, for more tests."
)
@click.option("--services", default="", metavar="A,B", help="Services to try; by default one that does not exist.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
@click.argument("url", metavar="URL")
def probe_command(url: str, pem: str | None, services: str, timeout: float, as_json: bool) -> int:
    """Audit a running endpoint, in any language: send requests that a sound verifier refuses, and report the answers.

    It is harmless: it sends up to 15 requests without a body for discovery, as many to a handler that does not exist in
    each service, and one request whose body stays open. The exit status is 0 if the endpoint is sound and answers while
    a body is open, 1 if not, 2 if it could not be probed.

    \b
    Examples:
      restate-identity probe http://127.0.0.1:9080
      restate-identity probe https://a.example/restate --key private.pem --services Greeter,Counter
    """
    signer = None if pem is None else read_signer(pem)
    names = [name for name in services.replace(",", " ").split() if name]
    is_watched = sys.stderr is not None and sys.stderr.isatty()
    try:
        report = probe(
            url, signer=signer, services=names, timeout=timeout, progress=_show_progress if is_watched else None
        )
    except ProbeError as error:
        fail(str(error))
    finally:
        if is_watched:
            click.echo("\r\x1b[K", err=True, nl=False, color=True)
    if as_json:
        click.echo(json.dumps(report_as_json(report), indent=2))
    else:
        show_report(report)
    return NO if report.findings or report.waits_for_the_end else YES


def _show_progress(done: int, total: int) -> None:
    click.echo(f"\r{done} of {total} requests", err=True, nl=False)
