"""Change the keys and the clock during the soak, and pass the changes on to every worker of a server.

The workers check a file before each request, so a change holds in every process for each request that is sent later.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from restate_identity import IdentityVerifier
from restate_identity.signing import RequestSigner

# The clock jumps so far forwards and backwards that no token is valid after a jump, not even the attacks that are two
# minutes off; and it jumps back, so that the real server's tokens get through.
OFFSETS = (300.0, 0.0, -300.0, 0.0, 900.0, 0.0)


class Moment(NamedTuple):
    """The keys and the clock at the moment when a request was signed."""

    signer: RequestSigner
    offset: float
    rotations: int
    steps: int
    """How often a change of the clock began or ended; odd during a change."""

    def is_same_time(self, later: Moment) -> bool:
        """Return whether the clock did not change between this moment and the *later* one."""
        return self.steps % 2 == 0 and self.steps == later.steps

    @property
    def now(self) -> float:
        return time.time() + self.offset


class Control:
    """Changes the keys and the clock.

    Args:
        server_key: The real server's key, which does not change.
        file: The file that the followers read.
    """

    def __init__(self, server_key: str, file: Path) -> None:
        self._server_key = server_key
        self._file = file
        self._offsets: Iterator[float] = cycle(OFFSETS)
        self._previous = RequestSigner.generate()
        self.retired: RequestSigner | None = None
        self._moment = Moment(RequestSigner.generate(), 0.0, 0, 0)
        self._publish()

    @property
    def moment(self) -> Moment:
        return self._moment

    def rotate(self) -> None:
        """Sign with a new key. The previous key stays valid for a while; the one before it is removed."""
        retired, self._previous = self._previous, self._moment.signer
        moment = self._moment._replace(signer=RequestSigner.generate(), rotations=self._moment.rotations + 1)
        self._publish(moment)
        self._moment, self.retired = moment, retired

    def step(self) -> None:
        """Set the followers' clocks minutes forwards or backwards, or back to the correct time."""
        self._moment = self._moment._replace(steps=self._moment.steps + 1)
        moment = self._moment._replace(offset=next(self._offsets), steps=self._moment.steps + 1)
        self._publish(moment)
        self._moment = moment

    def _publish(self, moment: Moment | None = None) -> None:
        moment = moment or self._moment
        keys = [self._server_key, str(moment.signer.public_key), str(self._previous.public_key)]
        new = self._file.with_suffix(".new")
        new.write_text(json.dumps({"keys": keys, "offset": moment.offset}))
        new.replace(self._file)


class Follower:
    """Keeps the keys and the clock of a service's verifier in step with the file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen = 0, 0
        self._offset = 0.0
        self._lock = threading.Lock()
        self.verifier = IdentityVerifier(json.loads(file.read_text())["keys"], clock=lambda: time.time() + self._offset)

    def follow(self) -> None:
        """Read the changes."""
        with self._lock:
            status = self._file.stat()
            # Each version is another file.
            version = status.st_ino, status.st_mtime_ns
            if version != self._seen:
                state = json.loads(self._file.read_text())
                self._offset = state["offset"]
                self.verifier.replace_keys(state["keys"])
                self._seen = version
