"""Keep secrets out of messages: show a text that a user passed, or only its length if it may be a secret.

Some people pass a token instead of the name of its file; the error "no such file" must not print it then. Secrets and
names cannot be distinguished for sure. A text counts as a secret if it has a typical mark, or if it looks random: in
random text, small letters, capitals and digits alternate often; in names they come in groups.
"""

from __future__ import annotations

import re

# Names and addresses are shorter.
MAX_LENGTH = 255
MAX_CHANGES = 4
# A PEM; a user or a password in a URL, even without a host; an API key of Restate Cloud; a JWT.
_MARK = re.compile(r"-----|PRIVATE KEY|:.*@|:/+[^/\[\]]*:[^/]*[^/0-9]|key_[A-Za-z0-9]{12}|eyJ[\w-]{9}")
# A change from one kind of character to another. A capital may begin a word, so a small letter after it does not count.
_CHANGE = re.compile(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[A-Z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])")
_IDENTITY_KEY = re.compile(r"publickeyv1_[1-9A-HJ-NP-Za-km-z]{1,44}\b")


def has_mark_of_secret(text: str) -> bool:
    """Return whether *text* contains a mark that only secrets have. Random text without a mark may be a name."""
    return _MARK.search(text) is not None


def may_be_secret(text: str) -> bool:
    """Return whether *text* looks like a token, a private key or a password, or cannot be a name at all."""
    if len(text) > MAX_LENGTH or not text.isprintable() or has_mark_of_secret(text):
        return True
    return len(_CHANGE.findall(_IDENTITY_KEY.sub("", text))) > MAX_CHANGES


def shown(text: str) -> str:
    """Return *text* for a message, or only its length if it may be a secret; always a single line."""
    return f"({len(text)} characters that may be a secret)" if may_be_secret(text) else text
