"""The API key that the remote proxies add, while its file is rotated."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from restate_identity.tunnel.client.proxies.bearer import Bearer
from restate_identity.tunnel.token import AuthToken
from tests.support.clock import Clock


def test_the_token_file_is_read_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "token"
    file.write_text("first\n")
    clock = Clock(0.0)
    bearer = Bearer(AuthToken(file=file), clock=clock)
    assert bearer.value() == b"Bearer first"
    file.write_text("second\n")
    clock.now = 4.9
    assert bearer.value() == b"Bearer first"
    clock.now = 5.0
    assert bearer.value() == b"Bearer second"
    file.unlink()
    caplog.set_level(logging.INFO)
    told = []
    for clock.now in (9.9, 10.0, 15.0, 69.9, 75.0):
        assert bearer.value() == b"Bearer second"
        told.append(len(caplog.messages))
        if clock.now > 10.0:
            file.write_text("")  # it is being written
    file.write_text("third\n")
    for clock.now in (80.0, 85.0):
        assert bearer.value() == b"Bearer third"
        told.append(len(caplog.messages))
    assert told == [0, 1, 1, 1, 2, 3, 3]
    assert all("the last one is used" in line for line in caplog.messages[:2])
    assert caplog.messages[2] == "tunnel client: the auth token can be read again"
    file.unlink()
    with pytest.raises(OSError, match="No such file"):
        Bearer(AuthToken(file=file)).value()
