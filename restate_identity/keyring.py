"""Read identity keys from environment variables and from files, and reload a file when it changes.

At most once per interval, a request checks whether the file has changed. So rotation needs no restart, no thread and no
signal. The core does not know where its keys come from.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from restate_identity._fork import Lock
from restate_identity._key_list import keys_in
from restate_identity._regular_file import check_refresh, read_regular_file, shown_path
from restate_identity.errors import InvalidKeyError
from restate_identity.identity import Identity
from restate_identity.keys import PEM_MARK, PREFIX, PublicKey
from restate_identity.verifier import IdentityVerifier

__all__ = ["KeyFile", "verifier_from_environment"]

logger: logging.Logger = logging.getLogger("restate_identity")

KEYS_VARIABLE = "RESTATE_IDENTITY_KEYS"
KEYS_FILE_VARIABLE = "RESTATE_IDENTITY_KEYS_FILE"
# Restate's own tools set the last two, with a single key each.
VARIABLES = (KEYS_VARIABLE, KEYS_FILE_VARIABLE, "RESTATE_SIGNING_PUBLIC_KEY", "RESTATE_INPROC_SIGNING_PUBLIC_KEY")
# Variables that are easily mistaken for those above.
LOOKALIKES = {"RESTATE_IDENTITY_KEY": KEYS_VARIABLE, "RESTATE_IDENTITY_KEY_FILE": KEYS_FILE_VARIABLE}

# Enough for about a thousand keys. A larger file is not a key file, and is not read to its end.
MAX_FILE_SIZE = 64 * 1024
# File systems have coarse clocks (10 ms on Linux, 2 s on FAT): two changes within that time can have the same stamp.
COARSEST_CLOCK = 2.0


def verifier_from_environment(environ: Mapping[str, str] = os.environ, **options: Any) -> IdentityVerifier:
    """Return a verifier that trusts the keys in the environment.

    It reads the first of these variables that is set, and no other:

    - ``RESTATE_IDENTITY_KEYS``: keys, separated by commas or white space;
    - ``RESTATE_IDENTITY_KEYS_FILE``: the path of a `KeyFile`, which is read again when it changes;
    - ``RESTATE_SIGNING_PUBLIC_KEY``, ``RESTATE_INPROC_SIGNING_PUBLIC_KEY``: keys, as in the first.

    Args:
        environ: The environment variables.
        options: As for `IdentityVerifier`.

    Raises:
        ValueError: None of them is set, or the first one that is set is empty. The message names all four.
        InvalidKeyError: A key or the file cannot be used. The message names the variable, and says what is wrong.
    """
    name = next((name for name in VARIABLES if name in environ), None)
    if name is None:
        raise ValueError(
            "no identity key is configured: pass identity_keys=['publickeyv1_...'] or verifier=..., "
            f"or set one of the environment variables {', '.join(VARIABLES)}{_lookalike_in(environ)}"
        )
    words = environ[name].replace(",", " ").split()
    if not words:
        raise ValueError(
            f"no identity key is configured: {name} is set, but empty. Of the environment variables "
            f"{', '.join(VARIABLES)} the first that is set must hold the keys, or the path of the key file"
        )
    try:
        if name == KEYS_FILE_VARIABLE:
            return KeyFile(environ[name].strip()).verifier(**options)
        return IdentityVerifier(words, **options)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{name}: {error}") from None


def _lookalike_in(environ: Mapping[str, str]) -> str:
    for name, meant in LOOKALIKES.items():
        if name in environ:
            return f". {name} is set, but is read only by code that names it: rename it to {meant}"
    return ""


class KeyFile:
    """A file with the keys to trust, which may change while the service runs.

    It holds one key per line, with comments after ``#``; or Kubernetes manifests, in YAML or JSON, of the kind
    ``RestateCloudEnvironment``, whose key is ``spec.signingPublicKey``. YAML needs the extra ``kubernetes``.

    A change takes effect within *refresh_every* seconds. Nothing runs in the background: the first request after that
    time checks the file (one ``stat``), and reads it if it has changed. It does so in its own thread or event loop, so
    keep the file on a local file system. If the file is missing, or cannot be used, the last good keys stay in force,
    and the log gets one error for each change. After any failure the file is read again at the next check, whether it
    has changed or not.

    Replace the file by renaming another one to its name, as Kubernetes does with mounted ConfigMaps and Secrets. If you
    write it in place, a reader may see only the first lines, until its next check.

    Args:
        path: The file, or a link to it.
        refresh_every: Seconds between two checks of the file; more than 0.
        clock: Returns seconds that never go backwards.

    Raises:
        InvalidKeyError: The file cannot be read, or holds no keys. The message says what is wrong with it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        refresh_every: float = 10.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        check_refresh(refresh_every)
        _refuse_what_is_no_path(os.fsdecode(path))
        # Absolute, because the process may change its working directory to one with another file of that name.
        self.path: Path = Path(path).absolute()
        self._refresh_every = refresh_every
        self._clock = clock
        self._lock = Lock()
        self._problem: tuple[_Stamp | None, str] | None = None
        # Checks are numbered, so that the result of a slow one does not overwrite that of a later one.
        self._looks = 0
        self._last_result = 0
        self.due: float = clock() + refresh_every
        """The time of the next check, on *clock*."""
        # An unusable file is read at every check, but is not parsed again while it stays the same.
        self._parse = _Parser()
        # None if the file must be read at the next check even if its stamp has not changed.
        self._stamp: _Stamp | None
        self._keys: tuple[PublicKey, ...]
        self._stamp, self._keys = _read(self.path, self._parse)

    def __repr__(self) -> str:
        return f"<KeyFile {shown_path(self.path)!r}>"

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys in force, from the last good version of the file."""
        return self._keys

    def verifier(self, **options: Any) -> IdentityVerifier:
        """Return a verifier that trusts the keys of this file, and follows its changes.

        Args:
            options: As for `IdentityVerifier`.
        """
        return _FileVerifier(self, self._clock, options)

    def refresh(self) -> None:
        """Check the file if the interval is over; only one thread does so. Never raises, whatever the file is."""
        with self._lock:
            now = self._clock()
            if now < self.due:
                return
            # Other threads skip the check from now on, so that a file system that hangs blocks only one of them.
            self.due = now + self._refresh_every
            self._looks += 1
            look = self._looks
            known = self._stamp
        seen = None
        try:
            seen = _Stamp.of(self.path.stat())
            if seen == known:
                return
            # The file may be replaced between stat and read, so keep the stamp of the file that was read.
            stamp, keys = _read(self.path, self._parse)
        except OSError as error:
            self._keep(look, seen, str(_unreadable(self.path, error)))
        except (InvalidKeyError, ImportError) as error:
            self._keep(look, seen, str(error))
        except Exception as error:  # noqa: BLE001 (a request is never lost to a file)
            # The message comes from elsewhere and may quote the file, so it is not logged.
            self._keep(look, seen, f"{_named(self.path)} cannot be read: {type(error).__name__}")
        else:
            self._replace(look, stamp, keys)
        finally:
            # Counted from the end, so that not every request waits for a file system that takes longer than that.
            self.due = self._clock() + self._refresh_every

    def _replace(self, look: int, stamp: _Stamp | None, keys: tuple[PublicKey, ...]) -> None:
        with self._lock:
            if look < self._last_result:
                return
            self._last_result = look
            is_news = keys != self._keys or self._problem is not None
            if is_news:
                self._problem = None
                self._keys = keys
            # Last, so that a process that is forked in between reads the file again.
            self._stamp = stamp
        if is_news:
            # A filter or a handler that raises must not change what becomes of the request.
            with suppress(Exception):
                logger.info("identity keys from %s: now trusting %s", shown_path(self.path), ", ".join(map(str, keys)))

    def _keep(self, look: int, seen: _Stamp | None, problem: str) -> None:
        with self._lock:
            if look < self._last_result:
                return
            self._last_result = look
            # The cause may lie outside the file, so read it again at the next check even if it has not changed.
            self._stamp = None
            if self._problem == (seen, problem):
                return
            self._problem = (seen, problem)
        with suppress(Exception):
            logger.error("%s; the keys read before stay in force: %s", problem, ", ".join(map(str, self._keys)))


def _refuse_what_is_no_path(text: str) -> None:
    if PEM_MARK in text:
        raise InvalidKeyError("this is a PEM, and not the path of a key file")
    if text.startswith(PREFIX) and not os.path.exists(text):  # noqa: PTH110 (Path's raises if the name is too long)
        raise InvalidKeyError(
            "this is an identity key, and not the path of a key file: "
            f"pass identity_keys=['{PREFIX}...'], or set {KEYS_VARIABLE} to it"
        )


class _FileVerifier(IdentityVerifier):
    """A verifier that checks its key file before it verifies a request, when the interval is over."""

    def __init__(self, file: KeyFile, clock: Callable[[], float], options: dict[str, Any]) -> None:
        self._file = file
        self._file_clock = clock
        self._taking = Lock()
        self._taken = file.keys
        super().__init__(self._taken, **options)
        self._verify_signature = super().verify_signature

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        self._take()
        return super().keys

    def verify_signature(
        self, path: str | None, scheme: str | None, token: str | None, *, raw_path: bytes | None = None
    ) -> Identity:
        if self._file_clock() >= self._file.due:
            self._file.refresh()
        if self._file.keys is not self._taken:
            self._take()
        return self._verify_signature(path, scheme, token, raw_path=raw_path)

    def _take(self) -> None:
        # Read the keys inside the lock, so that a slow thread cannot bring older keys back.
        with self._taking:
            keys = self._file.keys
            if keys is not self._taken:
                self.replace_keys(keys)
                self._taken = keys


class _Stamp(NamedTuple):
    """Identifies one version of a file; for a link, of its target."""

    device: int
    inode: int
    size: int
    modified: int
    changed: int  # changes also with the permissions, and when the modification time is set back

    @classmethod
    def of(cls, found: os.stat_result) -> _Stamp:
        return cls(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class _Parser:
    """Parses the content of a key file, and remembers the last content that could not be used."""

    def __init__(self) -> None:
        self._unusable: tuple[bytes, InvalidKeyError] | None = None

    def __call__(self, content: bytes) -> tuple[PublicKey, ...]:
        unusable = self._unusable
        if unusable is not None and unusable[0] == content:
            raise unusable[1]
        try:
            return _keys_in(content)
        except InvalidKeyError as error:
            self._unusable = content, error.with_traceback(None)
            raise


def _keys_in(content: bytes) -> tuple[PublicKey, ...]:
    try:
        # Some editors on Windows write a byte order mark.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidKeyError("is not UTF-8 text") from None
    try:
        keys = keys_in(text)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"cannot be used: {error}") from None
    if not keys:
        raise InvalidKeyError("has no keys in it: write one publickeyv1_... a line")
    return keys


def _read(path: Path, parse: Callable[[bytes], tuple[PublicKey, ...]]) -> tuple[_Stamp | None, tuple[PublicKey, ...]]:
    """Return the stamp and the keys of a file. The stamp is None if the next change might leave it the same."""
    now = time.time()
    try:
        content, status = read_regular_file(path, limit=MAX_FILE_SIZE)
    except OSError as error:
        raise _unreadable(path, error) from None
    stamp = _Stamp.of(status)
    is_young = abs(now - max(stamp.modified, stamp.changed) / 1e9) < COARSEST_CLOCK
    try:
        keys = parse(content)
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{_named(path)} {error}") from None
    return None if is_young else stamp, keys


def _named(path: Path) -> str:
    return f"the key file {shown_path(path)}"


def _unreadable(path: Path, error: OSError) -> InvalidKeyError:
    return InvalidKeyError(f"{_named(path)} cannot be read: {error.strerror or type(error).__name__}")
