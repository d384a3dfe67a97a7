"""What a message may repeat of a text that somebody passed: anything but what may be a secret.

People pass a token where the name of its file belongs, and the message that no file has this name must not print the
token. A secret cannot be told from a name for sure. It has a mark, or it is random: between its characters, small
letters, capitals and digits change all the time, while in a name they stand in groups.
"""

from __future__ import annotations

import re

# Longer than names and addresses are.
MAX_LENGTH = 255
MAX_CHANGES = 4
# A PEM; a user or a password in a URL, also where the host was forgotten; an API key of Restate Cloud; a JWT.
_MARK = re.compile(r"-----|PRIVATE KEY|:.*@|:/+[^/\[\]]*:[^/]*[^/0-9]|key_[A-Za-z0-9]{12}|eyJ[\w-]{9}")
# From one kind of character to another. A capital begins a word, so a small letter after it is no change.
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_IDENTITY_KEY = re.compile(r"publickeyv1_[1-9A-HJ-NP-Za-km-z]{1,44}\b")


def has_mark_of_secret(text: str) -> bool:
    """Return whether *text* has in it what only secrets have. Random text without a mark may be a name."""
    return _MARK.search(text) is not None


def may_be_secret(text: str) -> bool:
    """Return whether *text* looks like a token, a key or a password, or is no name at all. Identity keys are public."""
    if len(text) > MAX_LENGTH or not text.isprintable() or has_mark_of_secret(text):
        return True
    return len(_CHANGE.findall(_IDENTITY_KEY.sub("", text))) > MAX_CHANGES


def shown(text: str) -> str:
    """Return *text* for a message, or how long it is if it may be a secret. It is one line in any case."""
    return f"({len(text)} characters that may be a secret)" if may_be_secret(text) else text
