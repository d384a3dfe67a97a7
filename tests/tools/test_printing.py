"""How the commands print: durations in words, untrusted text, and colours for terminals only."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from restate_identity.cli.printing import bad, doubtful, good, printable, show, shown_value, words
from tests.support.terminal import Terminal


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 seconds"),
        (0.6, "1 second"),
        (1.4, "1 second"),
        (1.6, "2 seconds"),
        (119.4, "119 seconds"),
        (119.6, "2 minutes"),
        (7_199, "120 minutes"),
        (7_200, "2 hours"),
        (172_799, "48 hours"),
        (172_800, "2 days"),
        (1_000_000, "12 days"),
    ],
)
def test_a_duration_is_told_in_one_unit_of_which_there_are_at_least_two(seconds: float, text: str) -> None:
    assert words(seconds) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [("ü →", "ü →"), ("\x1b[2J", r"\x1b[2J"), ("a\u202eb", r"a\u202eb"), ("\ud800\n", r"\ud800\n")],
)
def test_what_could_steer_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown_value(text) == shown


@pytest.mark.parametrize(("value", "shown"), [(None, "null"), (["ü\n"], r'["ü\n"]'), ({"a": 1.5}, '{"a": 1.5}')])
def test_a_value_that_is_no_text_is_told_as_json(value: Any, shown: str) -> None:
    assert shown_value(value) == shown


def test_programs_get_plain_lines_that_are_not_folded(capsys: pytest.CaptureFixture[str]) -> None:
    show("[red]a[/red] :smile: 12  ", bad("b"), "x" * 500, "")
    assert capsys.readouterr().out == f"[red]a[/red] :smile: 12\nb\n{'x' * 500}\n\n"


def test_terminals_get_the_colours_that_are_asked_for_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setattr(sys, "stdout", terminal := Terminal())
    show("a 12 'b' [red]", "long " * 50, good("good"), doubtful("doubtful"), bad("bad"))
    assert terminal.getvalue().splitlines() == [
        "a 12 'b' [red]",
        ("long " * 50).rstrip(),
        "\x1b[32mgood\x1b[0m",
        "\x1b[33mdoubtful\x1b[0m",
        "\x1b[31mbad\x1b[0m",
    ]


def test_without_standard_output_nothing_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    show("to nobody")
