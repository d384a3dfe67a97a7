"""A file of local keys: its form, its rotation, and what it does with what it cannot use."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from restate_identity.encryption import EncryptionError, EncryptionReason, JournalEncryption, LocalKeys
from restate_identity.encryption.local_key_file import line_of
from tests.support.clock import Clock

A, B = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture(autouse=True)
def _the_mask_of_a_service() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    found = tmp_path / "keys"
    found.write_text(line_of("a", A))
    return found


def replace(file: Path, content: str) -> None:
    new = file.with_name("new")
    new.write_text(content)
    new.replace(file)


async def refusal(keys: LocalKeys, encrypted: bytes) -> EncryptionError:
    with pytest.raises(EncryptionError) as caught:
        await keys.decrypt_data_key(encrypted)
    return caught.value


async def test_a_data_key_comes_back_and_each_is_another(file: Path) -> None:
    keys = LocalKeys(file)
    first, second = await keys.generate_data_key(), await keys.generate_data_key()
    assert len({first.plaintext, second.plaintext}) == 2
    assert len(first.plaintext) == 32
    assert first.encrypted.startswith(b"RIL1\x01a")
    assert len(first.encrypted) == 4 + 1 + 1 + 12 + 32 + 16
    assert await LocalKeys(file).decrypt_data_key(first.encrypted) == first.plaintext


async def test_with_the_longest_id_typescript_can_still_write_the_encrypted_key(file: Path) -> None:
    replace(file, line_of("i" * 64, A))
    assert len((await LocalKeys(file).generate_data_key()).encrypted) <= 255


async def test_the_codec_reads_what_another_process_wrote_with_the_file(file: Path) -> None:
    writer, reader = [await JournalEncryption.create(LocalKeys(file)) for _ in range(2)]
    assert await reader.decode(writer.encode(b"value")) == b"value"


async def test_the_first_key_encrypts_and_all_decrypt(file: Path) -> None:
    old = await LocalKeys(file).generate_data_key()
    replace(file, f"# rotated\n{line_of('b', B)}\n  {line_of('a', A).strip()}  # the old one\n")
    keys = LocalKeys(file)
    assert keys.key_ids == ("b", "a")
    assert (await keys.generate_data_key()).encrypted.startswith(b"RIL1\x01b")
    assert await keys.decrypt_data_key(old.encrypted) == old.plaintext


async def test_a_change_of_the_file_is_taken_up_after_the_interval(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    keys = LocalKeys(file, clock=clock)
    replace(file, line_of("b", B) + line_of("a", A))
    clock.now += 9.5
    await keys.generate_data_key()
    assert list(keys.key_ids) == ["a"]
    clock.now += 0.5
    await keys.generate_data_key()
    assert list(keys.key_ids) == ["b", "a"]
    assert f"local keys from {file}: b, a; b encrypts" in caplog.text
    # The order alone is a change too.
    replace(file, line_of("a", A) + line_of("b", B))
    await keys.generate_data_key()
    assert list(keys.key_ids) == ["b", "a"]
    clock.now += 15
    await keys.generate_data_key()
    assert list(keys.key_ids) == ["a", "b"]


async def test_a_key_that_was_removed_is_named(file: Path) -> None:
    old = await LocalKeys(file).generate_data_key()
    replace(file, line_of("b", B))
    error = await refusal(LocalKeys(file), old.encrypted)
    assert error.reason is EncryptionReason.UNKNOWN_DATA_KEY
    assert error.hint == (
        f"the data key needs the local key 'a', which is not in {file}: if it was removed, put it back"
    )


async def test_another_key_under_the_same_id_is_noticed(file: Path) -> None:
    old = await LocalKeys(file).generate_data_key()
    replace(file, line_of("a", B))
    error = await refusal(LocalKeys(file), old.encrypted)
    assert "was not encrypted with the local key 'a', or was changed" in error.hint
    assert (error.__cause__, error.__context__) == (None, None)


async def test_the_id_and_every_byte_are_authenticated(file: Path) -> None:
    replace(file, line_of("a", A) + line_of("b", B))
    keys = LocalKeys(file)
    encrypted = (await keys.generate_data_key()).encrypted
    for place in range(len(encrypted)):
        start, byte, rest = encrypted[:place], encrypted[place], encrypted[place + 1 :]
        for changed in (start, bytes([*start, byte ^ 3, *rest]), bytes([*start, byte ^ 128, *rest])):
            assert (await refusal(keys, changed)).reason is EncryptionReason.UNKNOWN_DATA_KEY
    assert "no local key encrypted this data key" in (await refusal(keys, encrypted + b"x")).hint
    # The same key under another id is another key.
    renamed = file.with_name("renamed")
    renamed.write_text(line_of("c", A))
    error = await refusal(LocalKeys(renamed), encrypted.replace(b"\x01a", b"\x01c", 1))
    assert "was changed" in error.hint


GOOD = line_of("a", A)
KEY = base64.b64encode(B).decode()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "has no keys in it"),
        ("# nothing\n", "has no keys in it"),
        (KEY, "line 1 is no key: write one key a line, its id and 32 bytes in base64"),
        ("a", "line 1 is no key:"),
        (GOOD + "b b " + KEY, "line 2 is no key:"),
        (GOOD + "ü " + KEY, "line 2 is no key:"),
        ("i" * 65 + " " + KEY, "line 1 is no key:"),
        (GOOD + "b " + KEY[:-4], "line 2 is no key of 32 bytes"),
        (GOOD + "b " + base64.b64encode(B + b"x").decode(), "line 2 is no key of 32 bytes"),
        (GOOD + "b " + "!" + KEY[1:], "line 2 is no key of 32 bytes"),
        ("a !" + KEY, "line 1 is no key of 32 bytes"),
        ("a " + base64.b64encode(bytes(32)).decode(), "line 1 is no key of 32 bytes"),
        (GOOD + "a " + KEY, "line 2 has the id of an earlier line"),
        (GOOD + line_of("b", A), "line 2 has the key of an earlier line under another id"),
        ("x" * 65_537, "more than 64 KiB"),
    ],
)
def test_a_file_that_cannot_be_used_is_an_error_that_says_why_and_repeats_no_key(
    file: Path, content: str, problem: str
) -> None:
    file.write_text(content)
    with pytest.raises(EncryptionError) as caught:
        LocalKeys(file)
    assert caught.value.reason is EncryptionReason.UNUSABLE_KEYS
    assert problem in caught.value.hint
    assert str(file) in caught.value.hint
    assert not any(KEY[at : at + 8] in str(caught.value) for at in range(len(KEY) - 8))


def test_what_is_no_text_or_no_file_is_an_error(file: Path, tmp_path: Path) -> None:
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(EncryptionError, match="not UTF-8"):
        LocalKeys(file)
    for path, problem in ((tmp_path, "not a regular file"), (tmp_path / "none", "No such file")):
        with pytest.raises(EncryptionError, match=problem):
            LocalKeys(path)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_can_write_is_refused(file: Path, mode: int) -> None:
    file.chmod(mode)
    with pytest.raises(EncryptionError, match="can be written by others"):
        LocalKeys(file)


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
async def test_a_file_that_others_can_read_is_warned_of_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    # So Kubernetes mounts a Secret.
    file.chmod(0o644)  # noqa: ASYNC240 (as in any test)
    clock = Clock()
    keys = LocalKeys(file, clock=clock)
    for _ in range(3):
        clock.now += 10
        await keys.generate_data_key()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"the local keys in {file} can be read by others than its owner" in caplog.text


async def test_a_broken_file_changes_nothing_and_is_logged_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    keys = LocalKeys(file, clock=clock)
    clock.now += 10
    made = await keys.generate_data_key()
    replace(file, "a " + KEY[:-8])
    for _ in range(3):
        clock.now += 10
        assert await keys.decrypt_data_key(made.encrypted) == made.plaintext
    (line,) = [record.getMessage() for record in caplog.records]
    assert "line 1 is no key of 32 bytes" in line
    assert line.endswith("the keys read before stay in force: a")
    assert KEY[:8] not in line
    # When it is whole again, the log says so, and a later failure is logged again.
    for content in (line_of("a", A), "nonsense", "", line_of("b", B), ""):
        replace(file, content)
        for _ in range(2):
            clock.now += 10
            await keys.generate_data_key()
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO", "ERROR", "ERROR", "INFO", "ERROR"]
    assert keys.key_ids == ("b",)


@pytest.mark.parametrize("wrong", [0, -1, True, "10", float("nan")])
def test_the_interval_is_more_than_nothing(file: Path, wrong: float) -> None:
    with pytest.raises(ValueError, match="refresh_every is a number of seconds"):
        LocalKeys(file, wrong)


def test_it_shows_its_file_and_no_key(file: Path) -> None:
    assert repr(LocalKeys(file)) == f"<LocalKeys {str(file)!r}>"
