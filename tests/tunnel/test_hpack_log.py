"""hpack would log the headers of requests, with their tokens."""

from __future__ import annotations

import logging

import pytest

from restate_identity.tunnel.hpack_log import quiet_hpack


@pytest.mark.parametrize("name", ["hpack.hpack", "hpack.table"])
def test_headers_are_logged_only_by_who_asks_hpack_for_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger(name)
    for own, then in ((logging.NOTSET, logging.INFO), (logging.DEBUG, logging.DEBUG), (logging.ERROR, logging.ERROR)):
        monkeypatch.setattr(logger, "level", own)
        quiet_hpack()
        assert logger.level == then
