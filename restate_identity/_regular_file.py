"""Reading a file that the configuration names, without waiting and within limits, whatever stands in its place."""

from __future__ import annotations

import errno
import os
import stat
from typing import NamedTuple

from restate_identity._redaction import may_be_secret, shown

# Opening a pipe waits for a writer otherwise, and a terminal becomes ours. Windows has neither, but changes line ends.
# Python itself sees to it that child processes do not inherit the descriptor.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)


class RegularFile(NamedTuple):
    """What was read.

    Attributes:
        content: All of it.
        status: Of the file that was read, as it was just before.
    """

    content: bytes
    status: os.stat_result


def read_regular_file(path: str | os.PathLike[str], *, limit: int) -> RegularFile:
    """Return the file that *path* leads to.

    What was opened is judged, and not what stood at the path a moment before.

    Args:
        path: A file, or a link to one.
        limit: How many bytes it may have.

    Raises:
        OSError: It cannot be read; it is a directory, a pipe or a device; or it has more than *limit* bytes. The error
            names it with `shown_path`.
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
    """Return *path* for a message, or how long it is if it may be a secret. It is one line in any case.

    A folder that exists is a name, however random it looks.
    """
    text = os.fsdecode(path)
    folder, name = os.path.split(text)
    if text.isprintable() and not may_be_secret(name) and os.path.isdir(folder):  # noqa: PTH112 (text may be no path)
        return text
    return shown(text)


def _read(descriptor: int, size: int) -> bytes:
    content = b""
    # One call may return less than there is.
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return content
