"""Plaintext: refused, except until a declared time."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta, timezone

import pytest

from restate_identity.encryption import EncryptionError, EncryptionReason, JournalEncryption
from restate_identity.encryption.log import BURST
from tests.encryption.providers import Keys
from tests.support.clock import Clock

NOW = datetime(2026, 11, 26, 12, tzinfo=timezone.utc)


def at(moment: datetime) -> Clock:
    return Clock(moment.timestamp())


async def is_refused(codec: JournalEncryption, value: bytes) -> bool:
    try:
        assert await codec.decode(value) == value
    except EncryptionError as error:
        return error.reason is EncryptionReason.NOT_ENCRYPTED
    return False


async def test_by_default_plaintext_is_refused() -> None:
    codec = await JournalEncryption.create(Keys())
    assert await is_refused(codec, b'{"name": "Ada"}')
    assert await is_refused(codec, b"")


@pytest.mark.parametrize("until", [NOW, NOW.timestamp(), int(NOW.timestamp())], ids=["datetime", "float", "int"])
async def test_it_is_accepted_until_the_time_and_ends_by_itself(until: datetime | float) -> None:
    clock = at(NOW - timedelta(days=366))
    codec = await JournalEncryption.create(Keys(), accept_plaintext_until=until, clock=clock)
    for value in (b'{"name": "Ada"}', b"", b"RT", b"\0" * 100_000):
        assert not await is_refused(codec, value)
    clock.now = NOW.timestamp() - 0.001
    assert not await is_refused(codec, b"1")
    clock.now = NOW.timestamp()
    assert await is_refused(codec, b"1")
    assert await codec.decode(codec.encode(b"value")) == b"value"


@pytest.mark.parametrize(
    "value", [b"RTv1", b"RTv1\0", b"RTv1 is a format", b"RTv1\0" + bytes(40), b"RTv2\0" + bytes(40)]
)
async def test_what_begins_like_an_encrypted_value_is_never_plaintext(value: bytes) -> None:
    codec = await JournalEncryption.create(Keys(), accept_plaintext_until=NOW, clock=at(NOW - timedelta(hours=1)))
    with pytest.raises(EncryptionError):
        await codec.decode(value)


async def test_what_is_written_is_encrypted_all_the_same() -> None:
    codec = await JournalEncryption.create(Keys(), accept_plaintext_until=NOW, clock=at(NOW - timedelta(hours=1)))
    assert b"value" not in codec.encode(b"value")


async def test_the_log_says_it_at_the_start_and_for_the_values_within_limits(caplog: pytest.LogCaptureFixture) -> None:
    clock = at(NOW - timedelta(seconds=1))
    monotonic = Clock()
    codec = await JournalEncryption.create(Keys(), accept_plaintext_until=NOW, clock=clock, monotonic=monotonic)
    assert "plaintext is accepted until 2026-11-26T12:00:00+00:00" in caplog.text
    for _ in range(1000):
        await codec.decode(b"my plaintext")
    assert len(caplog.records) == 1 + BURST
    monotonic.now += 60
    await codec.decode(b"my plaintext")
    assert "left out 980 more lines about plaintext in the last 60 s" in caplog.text
    assert caplog.messages[-1].endswith("accepted a value in plaintext, as configured until 2026-11-26T12:00:00+00:00")
    assert vars(caplog.records[-1])["restate_encryption_reason"] == "plaintext"
    assert "my plaintext" not in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize(("until", "shown"), [(NOW, "2026-11-26T12:00:00"), (0, "1970-01-01T00:00:00")])
async def test_a_time_that_is_over_keeps_no_service_from_starting(
    until: datetime | float, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    codec = await JournalEncryption.create(Keys(), accept_plaintext_until=until, clock=at(NOW))
    assert await is_refused(codec, b"1")
    assert f"was accepted until {shown}+00:00, and is refused now" in caplog.text


@pytest.mark.parametrize(
    ("until", "error", "problem"),
    [
        (NOW.replace(tzinfo=None), ValueError, "no time zone"),
        (NOW + timedelta(days=366, seconds=1), ValueError, "at most a year away"),
        (NOW.timestamp() * 1000, ValueError, "not milliseconds"),
        (float("inf"), ValueError, "it must end"),
        (float("nan"), ValueError, "it must end"),
        (10**400, ValueError, "it must end"),
        (-1, ValueError, "a time in Unix seconds"),
        (True, TypeError, "not a bool"),
        ("2026-11-26", TypeError, "not a str"),
    ],
)
async def test_another_time_is_an_error(until: object, error: type[Exception], problem: str) -> None:
    with pytest.raises(error, match=problem):
        await JournalEncryption.create(Keys(), accept_plaintext_until=until, clock=at(NOW))  # type: ignore[arg-type]
