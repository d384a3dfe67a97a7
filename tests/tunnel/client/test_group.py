"""Which connection a request gets, and who waits: step by step, with connections that the test opens and fills."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from restate_identity.tunnel.client.connection import TargetConnection, Watcher
from restate_identity.tunnel.client.exchange import Exchange, ExchangeError, RequestHead
from restate_identity.tunnel.client.group import Group
from restate_identity.tunnel.client.limits import Limits
from tests.tunnel.dialling import until


class Connection:
    """What a group asks of a connection."""

    def __init__(self, in_flight: int = 0, *, most: int = 100, multiplexes: bool = True) -> None:
        self.watcher: Watcher | None = None
        self.in_flight = in_flight
        self.most = most
        self.multiplexes = multiplexes
        self.is_usable = True
        self.farewells: list[float] = []

    def open(self, head: RequestHead, scheme: str) -> Exchange:  # noqa: ARG002
        raise AssertionError("a group opens no request")

    async def gone(self, *, within: float) -> None:
        await asyncio.sleep(0)
        self.farewells.append(within)

    def leave(self) -> None:
        self.is_usable = False
        assert self.watcher is not None
        self.watcher.gone(self)

    def finish(self) -> None:
        """End one request."""
        self.in_flight -= 1
        assert self.watcher is not None
        self.watcher.has_room(self)


class Dialled(Group):
    """A group whose dials wait for the test."""

    def __init__(self, **limits: Any) -> None:
        self.dials: list[asyncio.Future[TargetConnection]] = []
        self.empty = 0
        super().__init__(self._dial_of_the_test, Limits(**limits), on_empty=self._emptied)

    def _dial_of_the_test(self) -> Awaitable[TargetConnection]:
        dial = asyncio.get_running_loop().create_future()
        self.dials.append(dial)
        return dial

    def _emptied(self) -> None:
        self.empty += 1

    async def opened(self, *connections: Connection) -> None:
        """Have the next dials succeed with these; dial if nobody has."""
        for connection in connections:
            (turn,) = await self.waiting(1)
            next(dial for dial in self.dials if not dial.done()).set_result(connection)
            await settled()
            turn.cancel()
            await settled()
            assert connection.watcher is self

    async def refused(self, error: Exception) -> None:
        """Have the next dial fail."""
        next(dial for dial in self.dials if not dial.done()).set_exception(error)
        await settled()

    async def waiting(self, count: int) -> list[asyncio.Future[None]]:
        """Have so many requests wait."""
        waiters: list[asyncio.Future[None]] = [asyncio.ensure_future(self.changed()) for _ in range(count)]
        await settled()
        return waiters


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def done(waiters: list[asyncio.Future[None]]) -> list[bool]:
    return [waiter.done() for waiter in waiters]


async def test_the_oldest_connection_with_few_requests_is_chosen() -> None:
    group = Dialled(streams=2)
    first, second = Connection(), Connection()
    await group.opened(first, second)
    assert group.choose() is first
    first.in_flight = 2
    assert group.choose() is second
    first.in_flight, second.in_flight = 1, 0
    assert group.choose() is first


async def test_when_no_further_one_may_be_opened_the_one_with_the_fewest_is_chosen_and_none_that_is_full() -> None:
    group = Dialled(streams=2, connections=3)
    one, two, three = connections = [Connection(), Connection(), Connection(most=3)]
    await group.opened(*connections)
    for counts, chosen in (((4, 3, 3), two), ((3, 3, 3), one), ((3, 4, 2), three), ((2, 3, 3), one)):
        one.in_flight, two.in_flight, three.in_flight = counts
        assert group.choose() is chosen
    one.in_flight, two.in_flight, three.in_flight = 100, 101, 3
    assert group.choose() is None
    dials = len(group.dials)
    one.in_flight = two.in_flight = 50
    assert group.choose() is one
    await settled()
    assert len(group.dials) == dials


async def test_one_dial_is_made_for_as_many_requests_as_a_connection_takes() -> None:
    group = Dialled(streams=2, connections=4)
    await group.opened(Connection(2))
    assert group.choose() is None
    waiters = await group.waiting(2)
    assert len(group.dials) == 2
    waiters += await group.waiting(1)
    assert len(group.dials) == 3
    waiters += await group.waiting(9)
    # One is open, and four are the limit.
    assert len(group.dials) == 4
    for dial in group.dials[1:]:
        dial.set_result(Connection(2))
    await settled()
    assert done(waiters) == [True] * 12


async def test_the_first_dial_is_alone_since_it_tells_what_the_target_speaks() -> None:
    group = Dialled(streams=1, connections_http1=3)
    waiters = await group.waiting(5)
    assert len(group.dials) == 1
    group.dials[0].set_result(Connection(multiplexes=False, most=1))
    await settled()
    assert (done(waiters), len(group.dials)) == ([True, *[False] * 4], 3)


async def test_as_many_wake_as_have_room() -> None:
    group = Dialled(streams=4, connections=2)
    small, shrunk = Connection(3, most=3), Connection(5)
    await group.opened(small, shrunk)
    shrunk.most = 3
    waiters = await group.waiting(3)
    small.finish()
    await settled()
    assert done(waiters) == [True, False, False]
    waiters += await group.waiting(1)
    small.in_flight = 1
    small.finish()
    await settled()
    assert done(waiters) == [True] * 4


async def test_while_others_are_being_opened_a_connection_takes_only_its_share() -> None:
    group = Dialled(streams=2)
    full = Connection(3)
    await group.opened(full)
    waiters = await group.waiting(2)
    full.finish()
    await settled()
    assert done(waiters) == [False, False]
    full.finish()
    await settled()
    assert done(waiters) == [True, False]


async def test_after_a_failed_dial_requests_share_what_is_open_until_a_dial_succeeds() -> None:
    group = Dialled(streams=2)
    first = Connection(2)
    await group.opened(first)
    waiters = await group.waiting(1)
    await group.refused(ExchangeError("refused"))
    assert done(waiters) == [True]
    assert waiters[0].exception() is None
    assert group.choose() is first
    await settled()
    second = Connection(2)
    assert len(group.dials) == 3
    group.dials[2].set_result(second)
    await settled()
    assert group.connections == [first, second]
    assert group.choose() is None


async def test_a_failed_dial_fails_nobody_who_may_still_get_a_place() -> None:
    group = Dialled()
    full = Connection(3, most=3)
    await group.opened(full)
    waiters = await group.waiting(2)
    await group.refused(ExchangeError("refused"))
    assert done(waiters) == [False, False]
    full.finish()
    await settled()
    assert done(waiters) == [True, False]


async def test_a_dial_that_was_quick_is_not_taken_for_a_slow_one_later() -> None:
    group = Dialled(streams=2, patience=0.01)
    await group.opened(quick := Connection())
    await asyncio.sleep(0.05)
    quick.in_flight = 2
    assert group.choose() is None


async def test_those_that_still_wait_after_a_failed_dial_get_another_one() -> None:
    group = Dialled()
    await group.opened(Connection(3, most=3))
    (waiter,) = await group.waiting(1)
    await group.refused(ExchangeError("refused"))
    assert (waiter.done(), len(group.dials)) == (False, 2)
    await asyncio.sleep(1.1)
    assert len(group.dials) == 3
    group.dials[2].set_result(Connection())
    await settled()
    assert waiter.done()


async def test_while_one_dial_takes_long_requests_share_what_is_open_though_others_succeed() -> None:
    group = Dialled(streams=2, patience=0.01)
    await group.opened(first := Connection(2))
    waiters = await group.waiting(3)
    slow, quick = group.dials[1:]
    await until(lambda: done(waiters) == [True] * 3)
    quick.set_result(second := Connection(2))
    await settled()
    assert group.choose() in (first, second)
    slow.set_result(Connection(2))
    await settled()
    assert group.choose() is None


async def test_any_number_of_instances_without_multiplexing_leaves_room_for_one_with() -> None:
    group = Dialled(connections=1)
    for _ in range(2):
        await group.opened(Connection(multiplexes=False, most=1))
        busy = group.choose()
        assert isinstance(busy, Connection)
        busy.in_flight = 1
    await group.opened(shared := Connection())
    shared.leave()
    waiters = await group.waiting(1)
    assert [dial.done() for dial in group.dials].count(False) == 1
    group.dials[-1].set_result(Connection())
    await settled()
    assert done(waiters) == [True]


async def test_if_nothing_is_open_a_failed_dial_fails_all_that_wait() -> None:
    group = Dialled()
    waiters = await group.waiting(3)
    await group.refused(error := ExchangeError("refused"))
    assert [waiter.exception() for waiter in waiters] == [error] * 3
    assert group.empty == 1


async def test_without_multiplexing_a_failed_dial_fails_the_one_that_waits_longest() -> None:
    group = Dialled()
    only = Connection(multiplexes=False, most=1)
    await group.opened(only)
    assert group.choose() is only
    only.in_flight = 1
    waiters = await group.waiting(3)
    await group.refused(error := ExchangeError("refused"))
    assert done(waiters) == [True, False, False]
    assert waiters[0].exception() is error
    only.finish()
    await settled()
    assert done(waiters) == [True, True, False]
    assert group.choose() is only
    assert group.choose() is None
    assert group.empty == 0


async def test_a_failed_dial_fails_nobody_for_whom_another_one_is_made() -> None:
    group = Dialled()
    only = Connection(multiplexes=False, most=1)
    await group.opened(only)
    only.leave()
    waiters = await group.waiting(2)
    await group.refused(error := ExchangeError("refused"))
    assert done(waiters) == [True, False]
    assert waiters[0].exception() is error


async def test_instances_that_multiplex_are_shared_beside_any_number_of_those_that_do_not() -> None:
    group = Dialled(connections=1, streams=2)
    await group.opened(Connection(multiplexes=False, most=1), Connection(multiplexes=False, most=1))
    assert group.choose() in group.connections
    assert group.choose() in group.connections
    # Two are dialled, since it is not known that they multiplex.
    await group.waiting(2)
    for dial in group.dials[2:]:
        dial.set_result(Connection(5))
    await settled()
    assert group.choose() in group.connections[2:]


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [(KeyError("secret"), "the dial failed (KeyError)"), (None, "the target closed the connection at once")],
)
async def test_a_dial_that_ends_in_an_unexpected_way_fails_those_that_wait(
    outcome: Exception | None, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    group = Dialled()
    waiters = await group.waiting(1)
    if outcome is not None:
        await group.refused(outcome)
    else:
        ended = Connection()
        ended.is_usable = False
        group.dials[0].set_result(ended)
        await settled()
    error = waiters[0].exception()
    assert isinstance(error, ExchangeError)
    assert str(error) == reason
    logged = [(record.name, record.levelno) for record in caplog.records]
    assert logged == ([("restate_identity.tunnel.client", logging.ERROR)] if outcome else [])


@pytest.mark.parametrize("when", ["before it wakes", "as it wakes"])
async def test_who_gives_up_waiting_takes_nobodys_place(when: str) -> None:
    group = Dialled(connections=1)
    full = Connection(1, most=1)
    await group.opened(full)
    waiters = await group.waiting(2)
    if when == "before it wakes":
        waiters[0].cancel()
        await settled()
        full.finish()
    else:
        full.finish()
        waiters[0].cancel()
    await settled()
    assert [waiter.cancelled() for waiter in waiters] == [True, False]
    assert waiters[1].done()


async def test_when_a_connection_goes_another_is_opened_if_requests_wait() -> None:
    group = Dialled(connections=1)
    full = Connection(1, most=1)
    await group.opened(full)
    waiters = await group.waiting(1)
    full.leave()
    await settled()
    assert (group.connections, len(group.dials), group.empty) == ([], 2, 0)
    group.dials[1].set_result(Connection())
    await settled()
    assert done(waiters) == [True]


async def test_when_the_last_connection_has_gone_nothing_is_left() -> None:
    group = Dialled()
    first, second = Connection(), Connection()
    await group.opened(first)
    first.in_flight = 8
    await group.opened(second)
    second.leave()
    assert group.empty == 0
    first.leave()
    assert group.empty == 1


async def test_a_group_with_a_dial_in_progress_is_not_empty() -> None:
    group = Dialled(connections=2, streams=1)
    only = Connection(1)
    await group.opened(only)
    (waiter,) = await group.waiting(1)
    waiter.cancel()
    await settled()
    only.leave()
    assert group.empty == 0
    await group.refused(ExchangeError("refused"))
    assert group.empty == 1


async def test_the_end_says_farewell_to_all_connections_and_fails_all_that_wait() -> None:
    group = Dialled(connections=3, streams=1)
    idle, leaving, left = Connection(), Connection(1), Connection()
    await group.opened(idle)
    idle.in_flight = 1
    await group.opened(leaving, left)
    leaving.leave()
    left.leave()
    waiters = await group.waiting(1)
    (dial,) = [dial for dial in group.dials if not dial.done()]
    await group.aclose()
    await settled()
    assert (idle.farewells, leaving.farewells, left.farewells) == ([1.0], [1.0], [])
    assert dial.cancelled()
    error = waiters[0].exception()
    assert isinstance(error, ExchangeError)
    assert str(error) == "the client has stopped"


@settings(max_examples=200)
@given(st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 4), st.booleans())
def test_whatever_happens_no_connection_takes_too_much_and_nobody_waits_for_ever(
    choice: random.Random, streams: int, connections: int, mixed: bool
) -> None:
    asyncio.run(anything(choice, Dialled(streams=streams, connections=connections, connections_http1=3), mixed))


async def anything(choice: random.Random, group: Dialled, mixed: bool) -> None:
    """Let requests, dials and connections come and go; then let all dials succeed and all requests end."""
    opened: list[Connection] = []
    requests: list[asyncio.Future[None]] = []

    async def request() -> None:
        while (connection := group.choose()) is None:
            await group.changed()
        assert isinstance(connection, Connection)
        assert connection.is_usable
        assert connection.in_flight < connection.most
        connection.in_flight += 1

    def succeed(dial: asyncio.Future[TargetConnection]) -> None:
        multiplexes = not mixed or choice.random() < 0.5
        opened.append(Connection(most=choice.choice((1, 3, 100)) if multiplexes else 1, multiplexes=multiplexes))
        dial.set_result(opened[-1])

    for _ in range(choice.randint(5, 60)):
        dials = [dial for dial in group.dials if not dial.done()]
        busy = [connection for connection in opened if connection.watcher and connection.is_usable]
        match choice.randint(0, 9):
            case 0 | 1 | 2 | 3:
                requests.append(asyncio.ensure_future(request()))
            case 4 | 5 if dials:
                succeed(choice.choice(dials))
            case 6 if dials:
                choice.choice(dials).set_exception(ExchangeError("refused"))
            case 7 if connection := next((each for each in busy if each.in_flight), None):
                connection.finish()
            case 8 if busy:
                choice.choice(busy).leave()
            case 9 if requests:
                choice.choice(requests).cancel()
        for _ in range(choice.randint(0, 3)):
            await asyncio.sleep(0)
    for _ in range(500):
        for dial in group.dials:
            if not dial.done():
                succeed(dial)
        for connection in opened:
            if connection.is_usable and connection.in_flight:
                connection.finish()
        await asyncio.sleep(0)
    assert all(request.done() for request in requests)
    assert {type(error) for each in requests if not each.cancelled() if (error := each.exception())} <= {ExchangeError}
    await group.aclose()
