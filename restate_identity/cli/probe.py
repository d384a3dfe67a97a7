"""`probe`: runs the audit of `restate_identity.probe`, and prints its report."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.table import Table
from rich.text import Text

from restate_identity.cli.complaints import fail
from restate_identity.cli.exit_status import NO, YES
from restate_identity.cli.options import json_option
from restate_identity.cli.printing import show
from restate_identity.cli.reading import read_signer
from restate_identity.probe import Finding, ProbeError, Report, origin, probe


@click.command("probe")
@click.option("--key", "pem", metavar="private.pem", help="The private key that the endpoint trusts: more is tried.")
@click.option("--services", default="", metavar="A,B", help="Services to try; by default one that does not exist.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds to wait for an answer.")
@json_option
@click.argument("url", metavar="URL")
def probe_command(url: str, pem: str | None, services: str, timeout: float, as_json: bool) -> int:
    """Audit a running endpoint, in any language: send it what a sound verifier refuses, and see.

    It is harmless: it sends 15 requests without a body for discovery, and 15 to a handler that does not exist in each
    service. The exit status is 0 if the endpoint is sound, 1 if there are findings, 2 if it could not be probed.

    \b
    Examples:
      restate-identity probe http://127.0.0.1:9080
      restate-identity probe https://a.example/restate --key private.pem --services Greeter,Counter
    """
    signer = None if pem is None else read_signer(pem)
    names = [name for name in services.replace(",", " ").split() if name]
    try:
        report = probe(url, signer=signer, services=names, timeout=timeout)
    except ProbeError as error:
        fail(str(error))
    if as_json:
        click.echo(json.dumps(_report_as_json(report), indent=2))
    else:
        _show_report(report)
    return NO if report.findings else YES


def _show_report(report: Report) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("What is sent", "To", "Sound", "This one", ""):
        table.add_column(title, no_wrap=True)
    for result in report.results:
        to = "discovery" if result.path == "/discover" else result.path.split("/")[2]
        answer = "no answer" if result.status is None else str(result.status)
        verdict = Text(f"FINDING: {result.finding}", style="red") if result.finding else Text("ok", style="green")
        table.add_row(result.case.sends, to, "let in" if result.case.accepted else "401", answer, verdict)
    show(f"{origin(report.url)} over {report.http_version}", "", table, "")
    for finding, meaning in FINDINGS.items():
        if any(result.finding is finding for result in report.findings):
            show(Text(f"{finding}: {meaning}", style="red"))
    if report.left_out:
        left_out = ", ".join(case.name for case in report.left_out)
        show(Text(f"Left out, for want of --key: {left_out}. An endpoint that is shut to all looks sound."))
    found = len(report.findings)
    show(
        Text(
            f"{found} finding{'' if found == 1 else 's'} in {len(report.results)} requests",
            style="red" if found else "green",
        )
    )


FINDINGS = {
    Finding.OPEN: "somebody gets in who did not get a token for this request from your Restate",
    Finding.LENIENT: "only the owner of the key can have made it, but others read it differently",
    Finding.CLOSED: "your own requests are kept out: another key, another path, or clocks that differ",
    Finding.UNCLEAR: "neither let in nor refused: look into the log of the endpoint",
}


def _report_as_json(report: Report) -> dict[str, Any]:
    return {
        "url": origin(report.url),
        "http_version": report.http_version,
        "sound": not report.findings,
        "results": [
            {
                "case": result.case.name,
                "path": result.path,
                "expected": "accepted" if result.case.accepted else "refused",
                "status": result.status,
                "finding": result.finding,
            }
            for result in report.results
        ],
        "left_out": [case.name for case in report.left_out],
    }
