"""Run the page on the command line as it stands; ``python -m tests.support.console`` writes it again."""

from __future__ import annotations

from restate_identity.cli.main import cli
from tests.support.console import PAGE, rewritten, without_what_varies
from tests.support.restate_server import RestateServer


def test_every_command_of_the_page_prints_what_the_page_shows(restate_server: RestateServer) -> None:
    page = PAGE.read_text("utf-8")
    assert without_what_varies(rewritten(page, restate_server)) == without_what_varies(page)


def test_every_command_is_on_the_page() -> None:
    page = PAGE.read_text("utf-8")
    assert [name for name in cli.commands if f"restate-identity {name}" not in page] == []
