"""Read a file that the configuration names. A pipe, a device or a huge file in its place is an error, never a hang."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from restate_identity._redaction import may_be_secret, shown

# Without these flags, opening a pipe waits for a writer, and opening a terminal may make it our controlling terminal.
# Windows has neither flag; O_BINARY stops it from changing line ends. Python makes the descriptor non-inheritable.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class RegularFile(NamedTuple):
    """The content of a file, with its status.

    Attributes:
        content: The whole content.
        status: The status of the opened file, taken just before reading it.
    """

    content: bytes
    status: os.stat_result


def check_refresh(refresh_every: float) -> None:
    """Raise ValueError unless *refresh_every* can be the seconds between two checks of a file."""
    if isinstance(refresh_every, bool) or not isinstance(refresh_every, (int, float)) or not refresh_every > 0:
        raise ValueError(f"refresh_every is a number of seconds, more than 0, not {refresh_every!r}")


def read_regular_file(path: str | os.PathLike[str], *, limit: int) -> RegularFile:
    """Read the regular file at *path*.

    The type is checked after opening, so that nobody can swap the file between check and use.

    Args:
        path: A file, or a link to one.
        limit: The maximum size in bytes.

    Raises:
        OSError: The file cannot be read; it is a directory, a pipe or a device; or it has more than *limit* bytes. The
            error names it with `shown_path`.
    """
    try:
        descriptor = os.open(path, _FLAGS)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            content = _read(descriptor, limit + 1)
        finally:
            os.close(descriptor)
        if len(content) > limit:
            raise OSError(errno.EFBIG, f"it has more than {limit // 1024} KiB, so it is something else")
    except OSError as error:
        raise OSError(error.errno, error.strerror, shown_path(path)) from None
    except ValueError:
        raise OSError(errno.EINVAL, "no file has such a name", shown_path(path)) from None
    return RegularFile(content, status)


def shown_path(path: str | os.PathLike[str]) -> str:
    """Return *path* for a message, or only its length if it may be a secret; always a single line.

    The name of an existing folder is not a secret, however random it looks.
    """
    text = os.fsdecode(path)
    folder, name = os.path.split(text)
    if text.isprintable() and not may_be_secret(name) and os.path.isdir(folder):  # noqa: PTH112 (text may be no path)
        return text
    return shown(text)


def _read(descriptor: int, size: int) -> bytes:
    content = b""
    # One call may return less than the whole rest.
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return content
