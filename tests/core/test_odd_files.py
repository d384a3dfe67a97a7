"""Odd files in the place of a configured file: nothing hangs, no other key is trusted, the next good file is read."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from restate_identity import InvalidKeyError
from restate_identity.keyring import KeyFile
from restate_identity.signing import RequestSigner
from restate_identity.tunnel.token import AuthToken
from tests.support.odd_files import ODD_FILES, growing, nobody_s_folder, open_descriptors, rights_for

OLD, NEW = RequestSigner.generate(), RequestSigner.generate()
# A machine that is busy with other things needs a while; one that waits for a writer of the pipe never comes back.
PATIENCE = 60.0
# How many seconds a file is swapped for; longer for what hangs if it is swapped in between one call and the next.
RACE, PIPE_RACE = 0.2, 3.0
LOOKS_AT_ONCE = 1e-9

Reader = Callable[[Path], object]
READERS: dict[str, Reader] = {
    "a key file": KeyFile,
    "an auth token": lambda path: AuthToken(file=path).read(),
    "a PEM": RequestSigner.from_pem,
}


@pytest.fixture
def folder() -> Iterator[Path]:
    with nobody_s_folder() as folder:
        yield folder


def line(signer: RequestSigner) -> str:
    return f"{signer.public_key}\n"


def in_time(action: Callable[[], object]) -> None:
    """Run *action*, and fail if it does not come to an end."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 (a thread's is lost otherwise)
            failures.append(error)

    # A daemon: one that hangs shall not hang the tests.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    if failures:
        raise failures[0]


def put(source: Path, path: Path) -> None:
    """Put what *source* is to *path*, in one step if that is possible."""
    spare = path.with_name("spare")
    try:
        os.link(source, spare, follow_symlinks=False)
    except FileNotFoundError:  # "nothing" is one of the kinds
        path.unlink()
    except PermissionError:  # a directory has one name
        path.unlink()
        source.rename(path)
        path.rename(source)
    else:
        spare.replace(path)


def put_back(path: Path, signer: RequestSigner) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    new = path.with_name("new")
    new.write_text(line(signer))
    new.replace(path)


@pytest.mark.parametrize("kind", ODD_FILES)
def test_what_is_no_key_file_changes_nothing_is_told_once_and_the_next_good_file_counts(
    folder: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "restate_identity")
    path = folder / "keys"
    path.write_text(line(OLD))
    file = KeyFile(path, refresh_every=LOOKS_AT_ONCE)
    ODD_FILES[kind](folder / "odd")
    path.unlink()
    with suppress(FileNotFoundError):  # "nothing" is one of the kinds
        (folder / "odd").rename(path)
    before = open_descriptors()

    with rights_for(kind):
        for _ in range(5):
            in_time(file.refresh)

    assert file.keys == (OLD.public_key,)
    assert open_descriptors() == before
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage().startswith(f"the key file {path} ")
    assert record.getMessage().endswith(f"the keys read before stay in force: {OLD.public_key}")

    put_back(path, NEW)
    in_time(file.refresh)
    assert file.keys == (NEW.public_key,)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


@pytest.mark.parametrize("kind", ODD_FILES)
def test_what_is_swapped_in_at_any_moment_changes_nothing_and_the_next_good_file_counts(
    folder: Path, kind: str
) -> None:
    path, good, odd = folder / "keys", folder / "good", folder / "odd"
    for name in (path, good):
        name.write_text(line(OLD))
    file = KeyFile(path, refresh_every=LOOKS_AT_ONCE)
    ODD_FILES[kind](odd)
    done = threading.Event()
    before = open_descriptors()

    def look() -> None:
        while not done.is_set():
            file.refresh()

    def swap() -> None:
        give_up_at = time.monotonic() + (PIPE_RACE if "pipe" in kind else RACE)
        while time.monotonic() < give_up_at:
            put(odd, path)
            put(good, path)

    with rights_for(kind):
        swapping = threading.Thread(target=swap)
        looking = [threading.Thread(target=in_time, args=(look,)) for _ in range(3)]
        for thread in (swapping, *looking):
            thread.start()
        swapping.join()
        done.set()
        for thread in looking:
            thread.join(2 * PATIENCE)
        in_time(file.refresh)
    assert file.keys == (OLD.public_key,)
    assert open_descriptors() == before

    put_back(path, NEW)
    in_time(file.refresh)
    assert file.keys == (NEW.public_key,)


def test_a_file_that_grows_while_it_is_read_is_read_to_its_limit_only(folder: Path) -> None:
    path = folder / "keys"
    path.write_text(line(OLD))
    file = KeyFile(path, refresh_every=LOOKS_AT_ONCE)

    with growing(path):
        give_up_at = time.monotonic() + RACE
        while time.monotonic() < give_up_at:
            in_time(file.refresh)
            assert file.keys == (OLD.public_key,)

    put_back(path, NEW)
    in_time(file.refresh)
    assert file.keys == (NEW.public_key,)


@pytest.mark.parametrize("reader", READERS)
def test_of_a_file_that_is_too_large_no_more_is_read_than_tells_that_it_is(folder: Path, reader: str) -> None:
    path = folder / "large"
    with path.open("wb") as file:
        file.truncate(8 * 1024 * 1024)

    tracemalloc.start()
    try:
        with pytest.raises((OSError, ValueError, InvalidKeyError), match="more than"):
            READERS[reader](path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1024 * 1024


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", ODD_FILES)
def test_whoever_reads_a_file_says_at_once_that_it_cannot_be_used(folder: Path, reader: str, kind: str) -> None:
    path = folder / "odd"
    ODD_FILES[kind](path)

    def read() -> None:
        with pytest.raises((OSError, ValueError, InvalidKeyError)) as refused:
            READERS[reader](path)
        assert str(path) in str(refused.value)

    with rights_for(kind):
        in_time(read)


@pytest.mark.parametrize("reader", READERS)
def test_a_name_that_no_file_can_have_is_an_error_too(reader: str) -> None:
    with pytest.raises((OSError, InvalidKeyError), match="no file has such a name"):
        READERS[reader](Path("nul\x00byte"))


@pytest.mark.parametrize("reader", READERS)
def test_what_is_too_long_for_a_name_is_not_repeated(reader: str) -> None:
    with pytest.raises((OSError, InvalidKeyError), match=r"\(\d+ characters that may be a secret\)"):
        READERS[reader](Path("x" * 300))


def test_a_terminal_does_not_become_the_one_that_controls_a_service() -> None:
    main, terminal = os.openpty()
    read = f"from contextlib import suppress\nwith suppress(ValueError): KeyFile({os.ttyname(terminal)!r})\n"
    service = f"from restate_identity.keyring import KeyFile\n{read}open('/dev/tty')"
    # A session of its own has no terminal yet, as a service has none.
    ended = subprocess.run([sys.executable, "-c", service], start_new_session=True, stderr=subprocess.PIPE, check=False)
    for descriptor in (main, terminal):
        os.close(descriptor)
    assert b"/dev/tty" in ended.stderr.splitlines()[-1]
