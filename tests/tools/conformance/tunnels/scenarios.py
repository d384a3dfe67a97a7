"""The scenarios for a tunnel. Each starts an engine, and counts the requests and the lost ones.

A request is lost if nobody served it, whether it was sent over an open connection or found none. In scenarios where all
requests must be refused, a request that was let in counts as lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import NamedTuple

import h2.errors
import h2.exceptions
import h2.settings

from restate_identity.signing import RequestSigner
from tests.tools.conformance.tunnels.engines import GRACE, Engine, Running, running
from tests.tunnel.cloud import PREFIX, Cloud, Exchange, Line, StreamResetError, tls_pair
from tests.tunnel.name_server import RECORD, NameServer
from tests.tunnel.traffic import Traffic
from tests.tunnel.tunnels import SIGNER

PATH = "/invoke/Greeter/greet"
# After the end of the grace the process has so long to be gone.
ALLOWANCE = 5.0
# A stream's window is as large as possible, so that the connection's window fills up first.
WIDE = {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 2**24}


class Outcome(NamedTuple):
    """The outcome of a scenario.

    Attributes:
        requests: How many requests there were.
        lost: What became of each that was lost.
        seconds: From the harm to the end of its consequences.
    """

    requests: int
    lost: list[str]
    seconds: float


class Scenario(NamedTuple):
    """Something that may happen.

    Attributes:
        name: A line of the table.
        run: Starts an engine and lets it happen.
        asks: Whether the engine has to ask a name server of ours.
    """

    name: str
    run: Callable[[Engine], Awaitable[Outcome]]
    asks: bool = False


def later(seconds: float) -> Callable[[Line], Awaitable[object]]:
    """Return a script that lets the first connection in at once, and every other one after so many seconds."""
    first = True

    async def script(line: Line) -> None:
        nonlocal first
        if not first:
            await asyncio.sleep(seconds)
        first = False
        await line.handshake()

    return script


# --- a steady rate


def drained(seconds: float, *, drains: int = 1) -> Callable[[Engine], Awaitable[Outcome]]:
    """Drain the newest connection, so many times in a row; each replacement takes some seconds to be let in."""

    async def run(engine: Engine) -> Outcome:
        async with Cloud(later(seconds)) as cloud, running(engine, cloud):
            await (await cloud.line(0)).accepted()
            async with Traffic(cloud) as traffic:
                await traffic.more(100)
                begin = time.monotonic()
                for number in range(drains):
                    await cloud.lines[number].drain()
                    await (await cloud.line(number + 1)).accepted()
                took = time.monotonic() - begin
                await traffic.more(100)
                for line in cloud.lines[:drains]:
                    line.close()
                await traffic.more(100)
            return Outcome(traffic.sent, traffic.lost, took)

    return run


async def no_replacement(engine: Engine) -> Outcome:
    """Drain the connection, and refuse every other one for two seconds."""
    refuses = False

    async def script(line: Line) -> None:
        await line.handshake("too-many-tunnels" if refuses else "ok")

    async with Cloud(script) as cloud, running(engine, cloud):
        await (await cloud.line(0)).accepted()
        async with Traffic(cloud) as traffic:
            await traffic.more(100)
            begin, refuses = time.monotonic(), True
            await cloud.lines[0].drain()
            await asyncio.sleep(2)
            refuses = False
            await cloud.until(lambda: any(line.is_accepted for line in cloud.lines[1:]))
            took = time.monotonic() - begin
            await traffic.more(100)
        return Outcome(traffic.sent, traffic.lost, took)


async def no_record(engine: Engine) -> Outcome:
    """Let the SRV record vanish for two seconds; it is asked for every 100 ms."""
    tls = tls_pair()
    async with NameServer(a="127.0.0.1") as names, Cloud(tls=tls.cloud) as cloud:
        names.serve(("a", cloud.port))
        async with running(engine, nameserver=names.port, authority=tls.authority):
            await (await cloud.line(0)).accepted()
            async with Traffic(cloud) as traffic:
                await traffic.more(100)
                begin = time.monotonic()
                record = names.records.pop((RECORD, "SRV"))
                await asyncio.sleep(2)
                names.records[RECORD, "SRV"] = record
                await traffic.more(100)
                took = time.monotonic() - begin
            return Outcome(traffic.sent, traffic.lost, took)


# --- in flight


async def in_flight(line: Line, count: int) -> list[Exchange]:
    """Send requests that wait for the rest of their bodies, and see them reach the application."""
    headers = SIGNER.headers(PATH)
    exchanges = [line.open(PREFIX + PATH, headers) for _ in range(count)]
    for exchange in exchanges:
        await exchange.send(b"early ")
        await exchange.response()
    return exchanges


async def finished(exchanges: Iterable[Exchange]) -> list[str]:
    """Send the rest, and return what became of those that were not served."""
    lost = []
    for exchange in exchanges:
        try:
            await exchange.send(b"and late", end=True)
            response = await exchange.whole()
            if (response.status, response.body) != (200, b"early and late"):
                lost.append(f"{response.status} {response.body!r}")
        except (StreamResetError, h2.exceptions.ProtocolError) as error:
            lost.append(repr(error))
    return lost


async def cancelled(engine: Engine) -> Outcome:
    """Give 1,000 streams up within a second, each 20 ms old, beside 50 others."""
    async with Cloud() as cloud, running(engine, cloud):
        line = await (await cloud.line(0)).accepted()
        neighbours = await in_flight(line, 50)
        headers = SIGNER.headers(PATH)
        begin = time.monotonic()
        try:
            for _ in range(40):
                streams = [line.open(PREFIX + PATH, headers) for _ in range(25)]
                await asyncio.sleep(0.02)
                if line.lost:
                    break
                for stream in streams:
                    stream.reset()
        except h2.exceptions.ProtocolError:
            pass  # the connection has ended, and the neighbours with it
        took = time.monotonic() - begin
        return Outcome(len(neighbours), await finished(neighbours), took)


# --- SIGTERM


async def gone(process: Running, begin: float) -> tuple[float, list[str]]:
    """Wait for the end after SIGTERM, for as long as that may take."""
    if await process.status(max(0.0, begin + GRACE + ALLOWANCE - time.monotonic())) is None:
        return time.monotonic() - begin, [f"the process was still there {ALLOWANCE:g} s after the grace"]
    return time.monotonic() - begin, []


async def stopped_reading(engine: Engine) -> Outcome:
    """Send SIGTERM while 20 requests of one server are in flight, and two have stopped reading: one idle, one not."""
    async with (
        Cloud(settings=WIDE) as busy,
        Cloud() as idle,
        Cloud() as other,
        running(engine, busy, idle, other) as process,
    ):
        full, empty, good = [await (await cloud.line(0)).accepted() for cloud in (busy, idle, other)]
        neighbours = await in_flight(good, 20)
        stuck = await in_flight(full, 8)
        full.h2.increment_flow_control_window(2**30)
        full.flush()
        full.freeze()
        empty.freeze()
        for exchange in stuck:
            await exchange.send(bytes(exchange.sendable()))
        await asyncio.sleep(0.2)
        begin = time.monotonic()
        process.stop()
        await asyncio.sleep(GRACE / 4)
        lost = await finished(neighbours)
        took, still_there = await gone(process, begin)
        return Outcome(len(neighbours), lost + still_there, took)


async def raced(engine: Engine) -> Outcome:
    """Send requests as fast as possible while SIGTERM comes in.

    None is lost that was served, or that a server knows it can send elsewhere: refused as draining, or never begun.
    """
    async with Cloud() as cloud, running(engine, cloud) as process:
        line = await (await cloud.line(0)).accepted()
        headers = SIGNER.headers(PATH)
        exchanges: list[Exchange] = []

        async def send() -> None:
            while not (line.lost or line.goaways):
                for _ in range(5):
                    exchanges.append(line.open(PREFIX + PATH, headers, end=True))
                await asyncio.sleep(0.001)

        sending = asyncio.ensure_future(send())
        await asyncio.sleep(0.3)
        begin = time.monotonic()
        process.stop()
        await sending
        fates = await asyncio.gather(*(fate(line, exchange) for exchange in exchanges))
        took, still_there = await gone(process, begin)
        return Outcome(len(exchanges), [lost for lost in fates if lost] + still_there, took)


async def fate(line: Line, exchange: Exchange) -> str | None:
    """Say how a request was lost; None if it was not."""
    try:
        response = await exchange.whole()
    except StreamResetError as error:
        begun = not line.goaways or exchange.stream_id <= line.goaways[-1][0]
        return repr(error) if begun and error.args != (h2.errors.ErrorCodes.REFUSED_STREAM,) else None
    draining = response.status == 503 and response.headers.get("x-restate-tunnel-draining") == "true"
    return None if response.status == 200 or draining else str(response.status)


# --- requests that must be refused


async def refused_token(engine: Engine) -> Outcome:
    """Refuse the token. The engine ends, and does not dial again."""
    async with Cloud(lambda line: line.handshake("unauthorized")) as cloud, running(engine, cloud) as process:
        await cloud.line(0)
        begin = time.monotonic()
        status = await process.status(ALLOWANCE)
        took = time.monotonic() - begin
        wrong = ["it dialled again"] * (len(cloud.lines) - 1)
        if not status:
            wrong.append("it goes on" if status is None else "it ended as if all were well")
        return Outcome(len(cloud.lines), wrong, took)


async def unsigned(engine: Engine) -> Outcome:
    """Send requests that the environment has not signed."""
    stranger = RequestSigner.generate()
    genuine, token = SIGNER.headers(PATH), "x-restate-jwt-v1"
    head, claims, signature = genuine[token].split(".")
    forgeries: list[dict[str, str]] = [
        {},
        stranger.headers(PATH),
        {token: genuine[token]},
        {**genuine, token: f"{head}.{claims}."},
        {**genuine, token: f"{head}.{claims}.{signature[::-1]}"},
        {**genuine, token: f"{head}.{SIGNER.headers('/discover')[token].split('.')[1]}.{signature}"},
    ]
    return await let_in(engine, [(PREFIX + PATH, forgery) for forgery in forgeries])


async def wrong_path(engine: Engine) -> Outcome:
    """Send requests that the environment signed for another path, or for a path without a service."""
    return await let_in(
        engine,
        [
            (PREFIX + PATH, SIGNER.headers("/discover")),
            (PREFIX + PATH, SIGNER.headers("/invoke/Greeter/other")),
            (PREFIX + PATH, signed_for(PREFIX + PATH)),
            (f"{PREFIX}/discover", SIGNER.headers(PATH)),
            (PREFIX + PATH.upper(), SIGNER.headers(PATH)),
            (f"{PREFIX}/invoke/Greeter/other#{PATH}", SIGNER.headers(PATH)),
            (f"{PREFIX}/invoke/Greeter/other%23{PATH}", SIGNER.headers(PATH)),
            (f"{PREFIX}/invoke/Greeter/other?{PATH}", SIGNER.headers(PATH)),
            (f"{PREFIX}{PATH}/../other", SIGNER.headers(PATH)),
            (f"/http/in-process/port{PATH}", SIGNER.headers(PATH)),
            (f"/http/in-process{PATH}", SIGNER.headers(PATH)),
            (PATH, SIGNER.headers(PATH)),
        ],
    )


def signed_for(audience: str) -> dict[str, str]:
    """Sign for exactly this; `RequestSigner.headers` leaves a prefix out, as a server does."""
    now = int(time.time())
    jose = {"alg": "EdDSA", "kid": str(SIGNER.public_key), "typ": "JWT"}
    claims = {"aud": audience, "exp": now + 60, "iat": now, "nbf": now - 60}
    return {"x-restate-signature-scheme": "v1", "x-restate-jwt-v1": SIGNER.sign_jws(jose, claims)}


async def let_in(engine: Engine, requests: list[tuple[str, dict[str, str]]]) -> Outcome:
    """Send these requests, none of which may be served, and one that must be."""
    async with Cloud() as cloud, running(engine, cloud):
        line = await (await cloud.line(0)).accepted()
        begin = time.monotonic()
        wrong = []
        for path, headers in requests:
            try:
                status = (await line.request(path, headers, body=b"{}")).status
            except StreamResetError:
                continue
            if status < 400:
                wrong.append(f"{path} was let in: {status}")
        if (await line.request(PREFIX + PATH, SIGNER.headers(PATH))).status != 200:
            wrong.append("the genuine request was refused")
        return Outcome(len(requests) + 1, wrong, time.monotonic() - begin)


SCENARIOS = (
    Scenario("drained, a replacement after 50 ms", drained(0.05)),
    Scenario("drained, a replacement after 300 ms", drained(0.3)),
    Scenario("drained, no replacement for 2 s", no_replacement),
    Scenario("drained twice, each replacement after 300 ms", drained(0.3, drains=2)),
    Scenario("the SRV record gone for 2 s", no_record, asks=True),
    Scenario("1,000 streams given up in a second, beside 50", cancelled),
    Scenario("SIGTERM while two servers do not read, beside 20", stopped_reading),
    Scenario("SIGTERM among requests", raced),
    Scenario("token refused: dialled again", refused_token),
    Scenario("not signed: let in", unsigned),
    Scenario("wrong path: let in", wrong_path),
)
