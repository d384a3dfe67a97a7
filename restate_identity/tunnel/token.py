"""The auth token: given as text, or read from a file at each dial, so that it can be rotated without a restart."""

from __future__ import annotations

import os
import re
from pathlib import Path

from restate_identity._regular_file import read_regular_file, shown_path

MAX_FILE_SIZE = 64 * 1024
_PRINTABLE = re.compile(r"[!-~]+")


class AuthToken:
    """The API key of the environment. Neither its repr nor any error contains the token.

    Args:
        text: The token itself.
        file: Alternatively, the file that holds it.

    Raises:
        ValueError: *text* cannot be a token. A file is not checked before `read`.
    """

    __slots__ = ("_file", "_text")

    def __init__(self, text: str | None = None, *, file: str | os.PathLike[str] | None = None) -> None:
        if (text is None) == (file is None):
            raise ValueError("an auth token is either a text or a file")
        # The working directory may change before the next dial.
        self._file = None if file is None else Path(file).absolute()
        self._text = None if text is None else _checked(text, "the auth token")

    def read(self) -> str:
        """Return the current token.

        Raises:
            OSError, ValueError: The file cannot be read, or holds no token. During a rotation this can be temporary.
        """
        if self._text is not None:
            return self._text
        assert self._file is not None
        return _read(self._file)

    def __repr__(self) -> str:
        return "<AuthToken>" if self._file is None else f"<AuthToken from {shown_path(self._file)!r}>"


def _read(path: Path) -> str:
    content = read_regular_file(path, limit=MAX_FILE_SIZE).content
    return _checked(content.decode("latin-1"), f"the auth token file {shown_path(path)!r}")


def _checked(text: str, what: str) -> str:
    token = text.strip()
    if not token:
        raise ValueError(f"{what} is empty")
    if not is_header_safe(token):
        raise ValueError(f"{what} is not a token: it contains spaces, or characters other than printable ASCII")
    return token


def is_header_safe(text: str) -> bool:
    """Return whether *text* is printable ASCII without spaces, so that it can be a header value unchanged."""
    return _PRINTABLE.fullmatch(text) is not None
