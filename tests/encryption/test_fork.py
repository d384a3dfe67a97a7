"""Locks that a forked process can take, whoever held them in its parent."""

from __future__ import annotations

import os
import signal

import pytest

from restate_identity.encryption.fork import Lock


def test_a_lock_is_free_again_after_its_block() -> None:
    lock = Lock()
    for _ in range(2):
        with lock:
            pass


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_a_lock_that_is_held_during_a_fork_is_free_in_the_child_and_held_in_the_parent() -> None:
    lock = Lock()
    with lock:
        child = os.fork()
        if not child:
            # Not as a failure of this test, which would go on in two processes.
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(20)
            with lock:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert lock._lock.locked()
