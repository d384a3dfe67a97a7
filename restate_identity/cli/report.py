"""Print the report of `probe`: a table for people, or JSON for machines."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote, urlsplit

from rich.table import Table

from restate_identity._http_server import origin
from restate_identity.cli.printing import bad, good, show, words
from restate_identity.errors import Reason
from restate_identity.paths import oddity
from restate_identity.probe import Finding, Report
from restate_identity.signing import DEFAULT_LEEWAY

FINDINGS = {
    Finding.OPEN: "a request gets in without a token from your Restate for this request",
    Finding.LENIENT: "only the owner of the key can have made the token, but other verifiers read it differently",
    Finding.CLOSED: "your own requests are refused",
    Finding.UNCLEAR: "neither let in nor refused: see the log of the endpoint",
}


WAITS = (
    "A request is answered only when its body has ended. Restate keeps the body open, so its calls expire: let the "
    "proxy in front stream requests, or register with --use-http1.1."
)


def show_report(report: Report) -> None:
    """Print *report* for people."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("What is sent", "To", "Sound", "This one", ""):
        table.add_column(title)
    for result in report.results:
        answer = "no answer" if result.status is None else str(result.status)
        verdict = bad(f"FINDING: {result.finding}") if result.finding else good("ok")
        expected = "let in" if result.case.accepted else "401"
        table.add_row(result.case.sends, _target(result.path), expected, answer, verdict)
    show(f"{origin(report.url)} over {report.http_version}", "", table, "")
    for finding, meaning in FINDINGS.items():
        if any(result.finding is finding for result in report.findings):
            cause = f": {_cause_of_closed(report)}" if finding is Finding.CLOSED else ""
            show(bad(f"{finding}: {meaning}{cause}"))
    if report.waits_for_the_end:
        show(bad(WAITS))
    if report.left_out:
        left_out = ", ".join(case.name for case in report.left_out)
        show(f"Not sent without --key: {left_out}. An endpoint that refuses every request looks sound.")
    found = len(report.findings)
    summary = f"{found} finding{'' if found == 1 else 's'} in {len(report.results)} requests"
    if report.waits_for_the_end:
        summary += ", but calls of Restate would expire"
    show(bad(summary) if found or report.waits_for_the_end else good(summary))


def report_as_json(report: Report) -> dict[str, Any]:
    """Return *report* as a JSON object."""
    return {
        "url": origin(report.url),
        "http_version": report.http_version,
        "sound": not report.findings,
        "seconds_ahead": None if report.seconds_ahead is None else round(report.seconds_ahead, 1),
        "waits_for_the_end": report.waits_for_the_end,
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


def _target(path: str) -> str:
    return "discovery" if path == "/discover" else path.split("/")[2]


def _cause_of_closed(report: Report) -> str:
    """Return why genuine requests are refused, as far as this is visible from outside."""
    ahead = report.seconds_ahead
    if ahead is not None and abs(ahead) >= DEFAULT_LEEWAY:
        side, reason = ("behind", Reason.NOT_YET_VALID) if ahead > 0 else ("ahead of", Reason.EXPIRED)
        return f"its clock is {words(abs(ahead))} {side} this machine's, so a token signed here is {reason} there"
    genuine = [result for result in report.results if result.case.accepted]
    let_in = ", ".join(_target(result.path) for result in genuine if result.finding is None)
    if let_in:
        kept_out = ", ".join(_target(result.path) for result in genuine if result.finding is not None)
        return (
            f"{let_in} is let in, so it trusts the key and the clocks agree; {kept_out} is not, so something in front "
            "changes or guards the path of calls"
        )
    prefix = urlsplit(report.url).path.rstrip("/")
    odd = oddity(f"{unquote(prefix)}/discover", f"{prefix}/discover".encode())
    if odd is not None:
        return f"with the path of the URL, a request's path {odd}, and a guard of this library refuses that"
    in_front = " The URL has a path, which not every verifier strips before comparing." if prefix else ""
    return (
        "it trusts another key, or something in front changes the path or the headers; the clocks agree."
        if ahead is not None
        else "it trusts another key, its clock differs, or something in front changes the path or the headers."
    ) + in_front
