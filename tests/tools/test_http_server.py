"""What the commands that ask an HTTP server need: its clock, whether it is on this machine, and their extra."""

from __future__ import annotations

import importlib
import sys

import pytest

from restate_identity._http_server import is_near, seconds_ahead


def test_a_date_is_taken_for_the_middle_of_its_second() -> None:
    assert seconds_ahead(12.0, "Thu, 01 Jan 1970 00:00:10 GMT") == 1.5


@pytest.mark.parametrize("date", ["", "soon", "Thu, 99 Jan 1970 00:00:10 GMT", f"Thu, 01 Jan {10**30} 00:00:10 GMT"])
def test_what_is_no_date_tells_no_time(date: str) -> None:
    assert seconds_ahead(12.0, date) is None


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("LOCALHOST", True), ("a.test", False)],
)
def test_this_machine_is_known_by_its_names(host: str, near: bool) -> None:
    assert is_near(f"http://{host}:9080/discover") is near


@pytest.mark.parametrize(
    ("module", "missing"), [("_http_server", "httpx"), ("_open_body", "h2.config"), ("probe", "httpx")]
)
def test_without_the_extra_it_is_said_what_to_install(
    monkeypatch: pytest.MonkeyPatch, module: str, missing: str
) -> None:
    name = f"restate_identity.{module}"
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(ImportError, match=r"pip install 'restate-identity\[cli\]'$") as error:
        importlib.import_module(name)
    assert error.value.name == missing
