"""What ``restate-identity probe`` prints of what it found, to the letter."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from restate_identity.cli.report import report_as_json, show_report
from restate_identity.probe import Case, Finding, Report, Result
from tests.support.terminal import Terminal

URL = "http://user.test:9080/mounted"
GREETER = "/invoke/Greeter/probe"
OPEN = Case("garbage", "garbage for a token", False, Finding.OPEN, lambda _: ())
LENIENT = Case("no-kid", "names no key", False, Finding.LENIENT, lambda _: ())
GENUINE = Case("genuine", "signed by you", True, Finding.CLOSED, lambda _: ())
SOUND = (Result(OPEN, "/discover", 401, None), Result(GENUINE, GREETER, 404, None))
KEPT_OUT = Result(GENUINE, GREETER, 401, Finding.CLOSED)


def report(*results: Result, url: str = URL, **given: Any) -> Report:
    return Report(url, "HTTP/2", results, given.pop("left_out", ()), **given)


def printed(shown: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    show_report(shown)
    return capsys.readouterr().out.splitlines()


def test_a_sound_endpoint_is_a_table_and_no_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(report(*SOUND), capsys) == [
        "http://user.test:9080 over HTTP/2",
        "",
        "What is sent         To         Sound   This one",
        "garbage for a token  discovery  401     401       ok",
        "signed by you        Greeter    let in  404       ok",
        "",
        "0 findings in 2 requests",
    ]


def test_each_kind_of_finding_is_explained_once(capsys: pytest.CaptureFixture[str]) -> None:
    results = [
        Result(OPEN, "/discover", 200, Finding.OPEN),
        Result(OPEN, GREETER, 404, Finding.OPEN),
        Result(LENIENT, "/discover", 200, Finding.LENIENT),
        Result(OPEN, "/discover", None, Finding.UNCLEAR),
        Result(GENUINE, "/discover", 401, Finding.CLOSED),
    ]
    assert printed(report(*results, url="http://user.test:9080"), capsys)[2:] == [
        "What is sent         To         Sound   This one",
        "garbage for a token  discovery  401     200        FINDING: open",
        "garbage for a token  Greeter    401     404        FINDING: open",
        "names no key         discovery  401     200        FINDING: lenient",
        "garbage for a token  discovery  401     no answer  FINDING: unclear",
        "signed by you        discovery  let in  401        FINDING: closed",
        "",
        "open: a request gets in without a token from your Restate for this request",
        "lenient: only the owner of the key can have made the token, but other verifiers read it differently",
        "closed: your own requests are refused: it trusts another key, its clock differs, or something in front "
        "changes the path or the headers.",
        "unclear: neither let in nor refused: see the log of the endpoint",
        "5 findings in 5 requests",
    ]


def test_one_finding_is_not_several_and_what_was_not_sent_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    shown = report(Result(OPEN, GREETER, 404, Finding.OPEN), left_out=(LENIENT, GENUINE))
    assert printed(shown, capsys)[5:] == [
        "open: a request gets in without a token from your Restate for this request",
        "Not sent without --key: no-kid, genuine. An endpoint that refuses every request looks sound.",
        "1 finding in 1 requests",
    ]


def test_an_endpoint_that_waits_for_the_end_of_a_body_is_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(report(*SOUND, waits_for_the_end=True), capsys)
    assert told[6].startswith("A request is answered only when its body has ended.")
    assert told[7:] == ["0 findings in 2 requests, but calls of Restate would expire"]


@pytest.mark.parametrize(
    ("shown", "colour"),
    [
        (report(*SOUND), 32),
        (report(*SOUND, KEPT_OUT), 31),
        (report(*SOUND, waits_for_the_end=True), 31),
        (report(*SOUND, waits_for_the_end=False), 32),
    ],
)
def test_the_last_line_is_green_if_all_is_well_and_red_if_not(
    monkeypatch: pytest.MonkeyPatch, shown: Report, colour: int
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    show_report(shown)
    assert terminal.getvalue().splitlines()[-1].startswith(f"\x1b[{colour}m")


def test_programs_get_a_long_name_whole_and_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    shown = report(Result(OPEN, f"/invoke/{'Greeter' * 40}/probe", 401, None))
    assert printed(shown, capsys)[3] == f"garbage for a token  {'Greeter' * 40}  401    401       ok"


CLOCKS_AGREE = "it trusts another key, or something in front changes the path or the headers; the clocks agree."
ODD_PATH = "with the path of the URL, a request's path {}, and a guard of this library refuses that"


@pytest.mark.parametrize(
    ("ahead", "cause"),
    [
        (59.9, CLOCKS_AGREE),
        (60.0, "its clock is 60 seconds behind this machine's, so a token signed here is not_yet_valid there"),
        (90.0, "its clock is 90 seconds behind this machine's, so a token signed here is not_yet_valid there"),
        (-59.9, CLOCKS_AGREE),
        (-60.0, "its clock is 60 seconds ahead of this machine's, so a token signed here is expired there"),
    ],
)
def test_clocks_that_differ_by_a_minute_are_the_cause(
    capsys: pytest.CaptureFixture[str], ahead: float, cause: str
) -> None:
    shown = report(KEPT_OUT, url="http://user.test:9080/", seconds_ahead=ahead)
    assert printed(shown, capsys)[5] == f"closed: your own requests are refused: {cause}"


def test_if_only_discovery_is_let_in_the_cause_is_in_front(capsys: pytest.CaptureFixture[str]) -> None:
    shown = report(Result(GENUINE, "/discover", 200, None), KEPT_OUT, SOUND[0])
    assert printed(shown, capsys)[7] == (
        "closed: your own requests are refused: discovery is let in, so it trusts the key and the clocks agree; "
        "Greeter is not, so something in front changes or guards the path of calls"
    )


@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/mounted", f"{CLOCKS_AGREE} The URL has a path, which not every verifier strips before comparing."),
        ("/X", f"{CLOCKS_AGREE} The URL has a path, which not every verifier strips before comparing."),
        ("//a", ODD_PATH.format("has an empty segment, '//'")),
        ("/a%23b", ODD_PATH.format("contains '#'")),
    ],
)
def test_the_path_of_the_url_may_be_the_cause(capsys: pytest.CaptureFixture[str], path: str, cause: str) -> None:
    told = printed(report(KEPT_OUT, url=f"http://user.test:9080{path}", seconds_ahead=0.0), capsys)
    assert told[5] == f"closed: your own requests are refused: {cause}"


def test_machines_read_all_of_it() -> None:
    shown = report(*SOUND, KEPT_OUT, left_out=(LENIENT,), seconds_ahead=1.26, waits_for_the_end=False)
    assert report_as_json(shown) == {
        "url": "http://user.test:9080",
        "http_version": "HTTP/2",
        "sound": False,
        "seconds_ahead": 1.3,
        "waits_for_the_end": False,
        "results": [
            {"case": "garbage", "path": "/discover", "expected": "refused", "status": 401, "finding": None},
            {"case": "genuine", "path": GREETER, "expected": "accepted", "status": 404, "finding": None},
            {"case": "genuine", "path": GREETER, "expected": "accepted", "status": 401, "finding": "closed"},
        ],
        "left_out": ["no-kid"],
    }
    assert report_as_json(report(*SOUND))["sound"] is True
    assert report_as_json(report(*SOUND))["seconds_ahead"] is None
