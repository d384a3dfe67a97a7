"""The page on the command line, run as it stands. ``python -m tests.support.console`` writes it anew."""

from __future__ import annotations

from tests.support.console import PAGE, rewritten, without_what_varies


def test_every_command_of_the_page_prints_what_the_page_shows() -> None:
    page = PAGE.read_text("utf-8")
    assert without_what_varies(rewritten(page)) == without_what_varies(page)
