"""Odd files in the place of a key file, a token or a PEM; and a process without rights or descriptors."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

NOBODY = 65534


@contextmanager
def nobody_s_folder() -> Iterator[Path]:
    """Yield a folder with a short name that everybody may enter; it belongs to nobody if we are root."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(folder, NOBODY, NOBODY)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Drop the rights of root inside the block, because root may read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Use up all descriptors of this process inside the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    spare = os.dup(0)
    filler = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (spare + 1, hard))
    try:
        try:
            while True:
                filler.append(os.dup(spare))
        except OSError:
            pass
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in (spare, *filler):
            os.close(descriptor)


def open_descriptors() -> int:
    """Return how many descriptors this process has open."""
    return len(list(Path("/dev/fd").iterdir()))


def _nothing(path: Path) -> None:
    """Make nothing at all."""


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # that of /dev/zero
    except PermissionError:
        pytest.skip("only root can make a device")


def _unreadable(path: Path) -> None:
    path.write_text("unreadable")
    path.chmod(0)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def _linked(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        target = path.with_name("target")
        make(target)
        path.symlink_to(target)

    return link


# How to make each kind at a free path.
ODD_FILES: dict[str, Callable[[Path], object]] = {
    "nothing": _nothing,
    "a pipe": os.mkfifo,
    "a directory": Path.mkdir,
    "a socket": _socket,
    "a device": _device,
    "a link to a pipe": _linked(os.mkfifo),
    "a link to a directory": _linked(Path.mkdir),
    "a link to a socket": _linked(_socket),
    "a link to /dev/zero": lambda path: path.symlink_to("/dev/zero"),
    "a link to /dev/null": lambda path: path.symlink_to("/dev/null"),
    "a dangling link": lambda path: path.symlink_to(path.with_name("nowhere")),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a file that may not be read": _unreadable,
    "a file that is too large": lambda path: path.write_bytes(b"#" * (64 * 1024 + 1)),
    "a sparse file of a terabyte": _sparse,
    "an empty file": Path.touch,
    "a file that is not UTF-8": lambda path: path.write_bytes(b"\xff\xfe\x00"),
}


def rights_for(kind: str) -> AbstractContextManager[None]:
    """Return a context in which the file is of this *kind*."""
    return as_nobody() if kind == "a file that may not be read" else _as_we_are()


@contextmanager
def _as_we_are() -> Iterator[None]:
    yield


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """Append comments to *path* in a thread, up to 64 MiB."""
    done = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            for _ in range(64 * 1024):
                if done.is_set():
                    return
                file.write(b"#" * 1023 + b"\n")

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(60)
