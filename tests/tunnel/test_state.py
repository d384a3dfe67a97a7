"""The table of a connection's life: what holds for every row, and the rows that matter most."""

from __future__ import annotations

import pytest

from restate_identity.tunnel.state import TABLE, ConnectionState, EndingKind, Event, next_state

STATES = list(ConnectionState)
LIVING = STATES[:-1]


@pytest.mark.parametrize("state", STATES)
def test_a_connection_only_ever_moves_down_its_life(state: ConnectionState) -> None:
    for event, after in TABLE[state].items():
        if isinstance(after, ConnectionState):
            assert STATES.index(after) >= STATES.index(state), event


@pytest.mark.parametrize("state", LIVING)
def test_wherever_a_connection_is_it_can_be_stopped_lost_and_cancelled(state: ConnectionState) -> None:
    assert next_state(state, Event.CANCELLED) is EndingKind.STOPPED
    assert next_state(state, Event.FAILED) is EndingKind.RETRY
    assert isinstance(next_state(state, Event.LOST), EndingKind)
    assert next_state(state, Event.STOP) in (EndingKind.STOPPED, ConnectionState.STOPPING)


@pytest.mark.parametrize("event", list(Event))
def test_after_the_end_nothing_matters(event: Event) -> None:
    assert next_state(ConnectionState.CLOSED, event) is ConnectionState.CLOSED


@pytest.mark.parametrize("state", [ConnectionState.DRAINING, ConnectionState.LEAVING])
def test_what_the_server_asked_for_is_no_failure(state: ConnectionState) -> None:
    assert next_state(state, Event.LOST) is EndingKind.DRAINED
    assert next_state(state, Event.GRACE_OVER) is EndingKind.DRAINED


def test_only_the_handshake_can_end_the_whole_tunnel() -> None:
    fatal = {(state, event) for state in STATES for event, after in TABLE[state].items() if after is EndingKind.FATAL}
    assert fatal == {(ConnectionState.HANDSHAKE, Event.REFUSED)}


def test_an_idle_connection_that_drains_goes_on_until_the_server_knows_that_it_is_the_end() -> None:
    assert next_state(ConnectionState.DRAINING, Event.GRACE_OVER_IDLE) is ConnectionState.LEAVING
    assert next_state(ConnectionState.LEAVING, Event.SETTLED) is EndingKind.DRAINED
    with pytest.raises(KeyError):
        next_state(ConnectionState.DRAINING, Event.SETTLED)
