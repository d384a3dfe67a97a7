"""It is known since when a call waits for its caller, and a call is given up once."""

from __future__ import annotations

import asyncio

import pytest

from restate_identity.asgi import Message
from restate_identity.tunnel.client.proxies.patience import PIECE, Patience, PatientCall

BODY = "http.response.body"


class Caller:
    """A caller that sends nothing and reads nothing until it is let go."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.let_go = asyncio.Event()

    async def receive(self) -> Message:
        await self.let_go.wait()
        return {"type": "http.request"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)
        await self.let_go.wait()


@pytest.mark.parametrize(
    ("message", "sizes"),
    [
        ({"type": BODY, "body": bytes(2 * PIECE + 1), "trailers": [(b"x", b"1")]}, [PIECE, PIECE, 1]),
        ({"type": BODY, "body": bytes(PIECE + 1), "more_body": True}, [PIECE, 1]),
        ({"type": BODY, "body": bytes(PIECE)}, [PIECE]),
        ({"type": BODY}, [0]),
        ({"type": "http.response.start", "status": 200, "headers": []}, [0]),
    ],
)
async def test_a_part_of_a_response_is_sent_in_pieces(message: Message, sizes: list[int]) -> None:
    caller = Caller()
    caller.let_go.set()
    await PatientCall(caller.receive, caller.send).send(message)
    assert [len(piece.get("body", b"")) for piece in caller.sent] == sizes
    *pieces, last = caller.sent
    assert [(piece["type"], piece["more_body"], "trailers" in piece) for piece in pieces] == [
        (BODY, True, False)
    ] * len(pieces)
    assert {**last, "body": b""} == {**message, "body": b""}


@pytest.mark.parametrize("what", ["receive", "send", "send much"])
async def test_a_call_waits_for_its_caller_since_it_last_heard_of_it(what: str) -> None:
    caller, now = Caller(), asyncio.get_running_loop().time
    call = PatientCall(caller.receive, caller.send)
    assert not call.waits_since(now())
    before = now()
    await asyncio.sleep(0.001)
    size = PIECE + 1 if what == "send much" else 1
    waiting = call.receive() if what == "receive" else call.send({"type": BODY, "body": bytes(size)})
    task = asyncio.ensure_future(waiting)
    await asyncio.sleep(0.001)
    assert (call.waits_since(before), call.waits_since(now())) == (False, True)
    caller.let_go.set()
    await task
    assert not call.waits_since(now())


async def test_a_call_is_given_up_once() -> None:
    calls: list[PatientCall] = []
    tidied = asyncio.Event()

    async def answer() -> None:
        calls.append(PatientCall(Caller().receive, Caller().send))
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            tidied.set()

    task = asyncio.ensure_future(answer())
    await asyncio.sleep(0)
    (call,) = calls
    assert not call.is_given_up
    for _ in range(3):
        call.give_up()
        await asyncio.sleep(0)
    assert call.is_given_up
    assert tidied.is_set()
    assert (await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError


def test_nobody_changes_the_limits_that_all_ports_have_by_default() -> None:
    with pytest.raises(AttributeError):
        Patience().head = 0  # type: ignore[misc]
