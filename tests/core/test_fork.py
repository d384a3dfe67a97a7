"""What a forked process finds as it needs it, whatever the threads of its parent were doing."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from restate_identity import IdentityVerifier, PublicKey, Reason, VerificationError, keyring
from restate_identity._fork import Lock, tell_of_forks
from restate_identity._refusal_log import RefusalLog
from restate_identity.keyring import KeyFile
from restate_identity.signing import RequestSigner
from tests.support.clock import Clock

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
    pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning"),
]

OLD, NEW = (RequestSigner.generate() for _ in range(2))
REFUSED = VerificationError(Reason.UNSIGNED, "the server does not sign")


def succeeds_in_a_fork(does: Callable[[], object]) -> bool:
    """Return whether *does* returns, and nothing false, in a forked process."""
    child = os.fork()
    if not child:
        # Not as a failure of this test, which would go on in two processes.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        try:
            os._exit(0 if does() is not False else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1] == 0


class Halt:
    """A place where every thread stops but the main one."""

    def __init__(self) -> None:
        self._reached, self._may_go_on = threading.Event(), threading.Event()

    def __call__(self) -> float:
        if threading.current_thread() is not threading.main_thread():
            self._reached.set()
            assert self._may_go_on.wait(60)
        return 100.0

    @contextmanager
    def stopping(self, does: Callable[[], object]) -> Iterator[None]:
        """Let a thread do this until it stops here."""
        thread = threading.Thread(target=does)
        thread.start()
        assert self._reached.wait(60)
        try:
            yield
        finally:
            self._may_go_on.set()
            thread.join(60)


def test_a_lock_is_free_again_after_its_block() -> None:
    lock = Lock()
    for _ in range(2):
        with lock:
            pass


def test_a_lock_that_is_held_during_a_fork_is_free_in_the_child_and_held_in_the_parent() -> None:
    lock = Lock()

    def take() -> None:
        with lock:
            os._exit(0)

    with lock:
        assert succeeds_in_a_fork(take)
        assert lock._lock.locked()


def test_whoever_asks_to_be_told_of_forks_is_told_in_the_child_alone() -> None:
    class Counting:
        forks = 0

        def after_fork(self) -> None:
            self.forks += 1

    counting = Counting()
    tell_of_forks(counting)

    assert succeeds_in_a_fork(lambda: counting.forks == 1)
    assert counting.forks == 0


def test_a_forked_process_logs_refusals_though_a_thread_of_its_parent_was_logging_one() -> None:
    halt = Halt()
    log = RefusalLog(clock=halt)

    with halt.stopping(lambda: log.refused("/", REFUSED)):
        assert succeeds_in_a_fork(lambda: log.refused("/", REFUSED))


def test_a_forked_process_checks_its_key_file_though_a_thread_of_its_parent_was_checking_it(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{OLD.public_key}\n")
    halt = Halt()
    file = KeyFile(path, clock=halt)
    file.due = 0.0

    with halt.stopping(file.refresh):
        assert succeeds_in_a_fork(file.refresh)


def test_a_forked_process_takes_new_keys_though_a_thread_of_its_parent_was_taking_them(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{OLD.public_key}\n")
    halt = Halt()

    class SlowFile(KeyFile):
        @property
        def keys(self) -> tuple[PublicKey, ...]:
            halt()
            return super().keys

    verifier = SlowFile(path).verifier()

    with halt.stopping(lambda: verifier.keys):
        assert succeeds_in_a_fork(lambda: verifier.keys == (OLD.public_key,))


def test_a_process_that_is_forked_at_any_moment_of_a_check_follows_the_key_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the file were too old for a change to hide behind another one.
    monkeypatch.setattr("restate_identity.keyring.COARSEST_CLOCK", 0.0)
    path = tmp_path / "keys"
    for moment in itertools.count():
        path.write_text(f"{OLD.public_key}\n")
        clock = Clock()
        verifier = KeyFile(path, clock=clock).verifier()
        path.with_name("new").write_text(f"{NEW.public_key}\n")
        path.with_name("new").replace(path)
        clock.now += 10

        outcomes = _forking_before_line(moment, partial(_trusts_new, verifier), partial(_follows, verifier, clock))
        if not outcomes:
            assert moment > 30, "the check has many lines"
            break
        assert outcomes == [True], moment


def _trusts_new(verifier: IdentityVerifier) -> bool:
    verifier.verify("/discover", NEW.headers("/discover"))
    return verifier.keys == (NEW.public_key,)


def _follows(verifier: IdentityVerifier, clock: Clock) -> bool:
    sys.settrace(None)
    clock.now += 10
    return _trusts_new(verifier)


def _forking_before_line(number: int, does: Callable[[], object], then: Callable[[], bool]) -> list[bool]:
    """Do this, with a fork before this line of `keyring`; return whether *then* succeeded there, if it was reached."""
    lines = itertools.count()
    outcomes: list[bool] = []

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != keyring.__file__:
            return None
        if event == "line" and next(lines) == number:
            outcomes.append(succeeds_in_a_fork(then))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        does()
    finally:
        sys.settrace(before)
    return outcomes
