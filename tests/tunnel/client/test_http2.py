"""What goes through the client to a target that speaks HTTP/2, and what the target may do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from h2.errors import ErrorCodes

from restate_identity.tunnel.client import Limits
from tests.tunnel.client.clients import forwarded, forwarding, opened, sent, signed
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.cloud import StreamResetError, tls_pair
from tests.tunnel.dialling import until
from tests.tunnel.neighbours import is_reset
from tests.tunnel.tunnels import EACH_LOOP, SIGNER, SOON

MEBIBYTE = 2**20


def echoing(served: Served) -> None:
    served.respond(200, [("x-path", served.headers[":path"])])
    served.send(bytes(served.body), end=True)


async def test_a_request_reaches_the_target_unchanged_but_for_the_authority_and_the_header_of_the_version() -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (client, line):
        headers = {"x-restate-tunnel-http-version": "HTTP/2.0", "te": "trailers", "x-a": "1", "cookie": "b=c"}
        path = "/prefix%2Dhere/invoke/Greeter/echo?x=%20&y"
        exchange = opened(line, target.origin, headers, path=path, method="PUT")
        await exchange.send(b"hello", end=True)
        response = await exchange.whole()
        assert (response.status, response.headers["x-path"], response.body) == (200, path, b"hello")
        served = target.served[0]
        received = [name for name, _ in served.fields]
        assert received[:4] == [":method", ":scheme", ":authority", ":path"]
        assert sorted(received[4:]) == sorted(["x-restate-signature-scheme", "x-restate-jwt-v1", "te", "x-a", "cookie"])
        assert served.headers[":method"] == "PUT"
        assert served.headers[":authority"] == f"127.0.0.1:{target.port}"
        assert client.counters.requests == {200: 1}
        assert target.ends[0].h2.remote_settings.enable_push == 0


@pytest.mark.parametrize("tail", ["", "?a=b", "/"])
async def test_an_empty_tail_is_the_root_which_no_restate_calls(tail: str) -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (_, line):
        assert (await line.request(f"/http/127.0.0.1/{target.port}{tail}", SIGNER.headers("/"))).status == 401
        assert not target.ends


async def test_a_target_cannot_speak_for_the_tunnel() -> None:
    def answer(served: Served) -> None:
        served.respond(503, [("x-restate-tunnel-draining", "true"), ("x-a", "1")], end=True)

    async with Http2Target(on_complete=answer) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin)).headers == {":status": "503", "x-a": "1"}


async def test_blanks_and_codings_that_http2_does_not_have_cost_neither_a_strict_target_nor_its_neighbours() -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (_, line):
        line.h2.config.validate_outbound_headers = False
        line.h2.config.normalize_outbound_headers = False
        neighbour = opened(line, target.origin)
        await target.request()
        fields = [*signed(), ("te", "gzip"), ("te", "zip"), ("x-a", " b\t")]
        exchange = line.open(forwarded(target.origin), fields)
        exchange.trailers([("x-t", " c ")])
        assert (await exchange.whole()).status == 200
        assert (target.served[1].headers["x-a"], target.served[1].trailers) == ("b", {"x-t": "c"})
        assert "te" not in target.served[1].headers
        neighbour.end()
        assert (await neighbour.whole()).status == 200
        assert len(target.ends) == 1


async def test_a_response_without_content_has_no_length() -> None:
    def answer(served: Served) -> None:
        served.respond(204, [("content-length", "0")], end=True)

    async with Http2Target(on_complete=answer) as target, forwarding(target.origin) as (_, line):
        assert (await sent(line, target.origin)).headers == {":status": "204"}
        target.on_complete = lambda served: served.answer(status=204)
        with pytest.raises(StreamResetError):
            await sent(line, target.origin)


async def test_both_bodies_flow_at_the_same_time() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin)
        served = await target.request()
        assert not served.complete
        served.respond(200, [("content-length", "11")])
        assert (await exchange.response())[":status"] == "200"
        for word in (b"one", b"two", b"three"):
            await exchange.send(word)
            await until(lambda word=word: served.body.endswith(word))  # type: ignore[misc]
            served.send(word)
            assert await exchange.read() == word
        exchange.end()
        await until(lambda: served.complete)
        served.send(b"", end=True)
        assert await exchange.read() == b""


@EACH_LOOP
@pytest.mark.parametrize("body", [b"hello", b""])
async def test_trailers_pass_both_ways(body: bytes) -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin)
        if body:
            await exchange.send(body)
        exchange.trailers([("x-sum", "1"), ("x-more", "2")])
        served = await target.request()
        await until(lambda: served.complete)
        assert (bytes(served.body), served.trailers) == (body, {"x-sum": "1", "x-more": "2"})
        served.respond(200)
        if body:
            served.send(body)
            assert await exchange.read() == body
        served.trail([("grpc-status", "0")])
        assert await exchange.read() == b""
        assert exchange.response_trailers == {"grpc-status": "0"}


async def test_a_request_that_the_server_gives_up_is_given_up_at_the_target() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        for part in (b"", b"hello"):
            exchange = opened(line, target.origin)
            if part:
                await exchange.send(part)
            served = await target.request(len(target.served))
            exchange.reset()
            await until(lambda served=served: served.reset_code == ErrorCodes.CANCEL)  # type: ignore[misc]
            assert not served.complete
            # What the target may have sent before it knew is ignored.
            served.end.raw_head(served.stream_id, "200")
        # While it answers, too; and others are not harmed.
        other = opened(line, target.origin, end=True)
        exchange = opened(line, target.origin)
        served = await target.request(3)
        served.respond(200)
        served.send(b"some")
        assert await exchange.read() == b"some"
        exchange.reset()
        await until(lambda: served.reset_code == ErrorCodes.CANCEL)
        target.served[2].answer()
        assert (await other.whole()).body == b"done"
        assert len(target.ends) == 1


async def test_a_lost_tunnel_gives_up_its_requests_at_the_target() -> None:
    timings = replace(SOON, grace=60)
    async with Http2Target() as target, forwarding(target.origin, timings=timings) as (_, line):
        opened(line, target.origin)
        served = await target.request()
        line.kill()
        await until(lambda: served.reset_code == ErrorCodes.CANCEL)


@pytest.mark.parametrize("code", [ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.NO_ERROR, 0xFF])
async def test_a_response_that_the_target_gives_up_is_never_a_clean_end(code: ErrorCodes) -> None:
    async with Http2Target() as target, forwarding(target.origin) as (client, line):
        exchange = opened(line, target.origin, end=True)
        served = await target.request()
        served.respond(200)
        served.send(b"half")
        assert await exchange.read() == b"half"
        served.reset(code)
        await is_reset(exchange, ErrorCodes.INTERNAL_ERROR if code == ErrorCodes.NO_ERROR else code)
        # Before the response it is an answer that says so.
        exchange = opened(line, target.origin, end=True)
        (await target.request(1)).reset(code)
        assert await exchange.whole() == (502, {":status": "502"}, b"")
        assert (client.counters.requests, client.counters.resets) == ({200: 1, 502: 1}, 1)
        exchange = opened(line, target.origin, end=True)
        (await target.request(2)).answer()
        assert (await exchange.whole()).status == 200
        assert len(target.ends) == 1


async def test_a_target_that_refuses_a_request_after_its_response_has_begun_does_not_ask_for_a_repetition() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, end=True)
        served = await target.request()
        served.respond(200)
        await exchange.response()
        served.reset(ErrorCodes.REFUSED_STREAM)
        await is_reset(exchange, ErrorCodes.INTERNAL_ERROR)


async def test_a_connection_that_breaks_breaks_its_responses() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        begun, waiting = (opened(line, target.origin, end=True) for _ in range(2))
        served = await target.request(1) and target.served[0]
        served.respond(200)
        served.send(b"half")
        assert await begun.read() == b"half"
        target.ends[0].transport.abort()
        await is_reset(begun, ErrorCodes.INTERNAL_ERROR)
        assert (await waiting.whole()).status == 502
        # The next request dials again.
        again = opened(line, target.origin, end=True)
        (await target.request(2)).answer()
        assert (await again.whole()).status == 200


async def test_a_response_that_is_complete_before_the_request_ends_both() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin)
        await exchange.send(b"hello")
        served = await target.request()
        served.answer(b"enough", 413)
        served.reset(ErrorCodes.NO_ERROR)
        response = await exchange.whole()
        assert (response.status, response.body) == (413, b"enough")
        await line.until(lambda: exchange.over)
        assert exchange.reset_code == ErrorCodes.NO_ERROR


async def test_a_target_that_refuses_a_stream_is_asked_again_with_the_same_body() -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (client, line):
        exchange = opened(line, target.origin)
        refused = await target.request()
        for part in (b"he", b"l"):
            await exchange.send(part)
            await until(lambda part=part: refused.body.endswith(part))  # type: ignore[misc]
        refused.reset(ErrorCodes.REFUSED_STREAM)
        await target.request(1)
        await exchange.send(b"lo", end=True)
        assert (await exchange.whole()).body == b"hello"
        assert (client.counters.requests, client.counters.failures) == ({200: 1}, 1)
        # But not for ever.
        target.on_request = lambda served: served.reset(ErrorCodes.REFUSED_STREAM)
        target.on_complete = lambda _: None
        assert (await sent(line, target.origin)).status == 502
        assert len(target.served) == 5


async def test_a_body_that_is_not_kept_any_more_is_not_sent_again() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin)
        served = await target.request()
        await exchange.send(bytes(100_000))
        await until(lambda: len(served.body) == 100_000)
        served.reset(ErrorCodes.REFUSED_STREAM)
        assert (await exchange.whole()).status == 502
        assert len(target.served) == 1


MALFORMED_HEADS: list[Any] = [
    lambda served: served.respond(10),
    lambda served: served.respond("099"),
    lambda served: served.respond(101),
    lambda served: served.respond(1000),
    lambda served: served.respond(200, [(":status", "200")]),
    lambda served: served.respond(200, [("X-Upper", "a")]),
    lambda served: served.respond(200, [("x-a", "b\r\nc: d")]),
    lambda served: served.respond(200, [("content-length", "3"), ("content-length", "4")]),
    lambda served: served.respond(200, [("content-length", "x")]),
    lambda served: served.respond(200, [("x-large", "a" * 70_000)]),
    lambda served: served.head([("no-status", "103")]),
    lambda served: served.head([(":path", "103")]),
]
# What follows a head with this length.
MALFORMED_BODIES: list[Any] = [
    ("3", lambda served: served.send(b"abcd", end=True)),
    ("9", lambda served: served.send(b"abcd", end=True)),
    ("3", lambda served: served.send(b"ab") or served.send(b"cd", end=True)),
    ("3", lambda served: served.send(b"abc") or served.trail([("x-a", "b\r\nc: d")])),
    ("3", lambda served: served.send(b"abc") or served.end.raw_head(served.stream_id, "200")),
]


@pytest.mark.parametrize(("length", "respond"), [*((None, head) for head in MALFORMED_HEADS), *MALFORMED_BODIES])
async def test_a_malformed_response_costs_that_request_only(
    length: str | None, respond: Callable[[Served], None]
) -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        neighbour = opened(line, target.origin, end=True)
        await target.request()
        exchange = opened(line, target.origin, end=True)
        served = await target.request(1)
        served.end.h2.config.normalize_outbound_headers = False
        if length is None:
            respond(served)
            assert await exchange.whole() == (502, {":status": "502"}, b"")
            await until(lambda: served.reset_code == ErrorCodes.PROTOCOL_ERROR)
        else:
            served.respond(200, [("content-length", length)])
            respond(served)
            with pytest.raises(StreamResetError):
                await exchange.whole()
        target.served[0].answer()
        assert (await neighbour.whole()).body == b"done"
        assert len(target.ends) == 1


async def test_a_response_is_broken_off_at_the_first_byte_beyond_its_length() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, end=True)
        served = await target.request()
        served.respond(200, [("content-length", "3")])
        served.send(b"abcd")
        with pytest.raises(StreamResetError):
            await exchange.whole()
        await until(lambda: served.reset_code == ErrorCodes.PROTOCOL_ERROR)


async def test_a_response_to_head_has_a_length_and_no_body() -> None:
    def respond(served: Served) -> None:
        served.respond(200, [("content-length", "5")], end=True)

    async with Http2Target(on_complete=respond) as target, forwarding(target.origin) as (_, line):
        response = await sent(line, target.origin, method="HEAD")
        assert (response.headers["content-length"], response.body) == ("5", b"")


async def test_informational_responses_are_not_the_response() -> None:
    async with Http2Target() as target, forwarding(target.origin) as (_, line):
        exchange = opened(line, target.origin, end=True)
        served = await target.request()
        served.respond(100)
        served.respond(103, [("link", "</a>")])
        served.answer()
        assert (await exchange.whole())[::2] == (200, b"done")


async def test_a_target_that_does_not_speak_http2_is_a_502_that_the_log_explains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def http1(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(http1, "127.0.0.1", 0)
    origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, forwarding(origin) as (_, line):
        assert await sent(line, origin) == (502, {":status": "502"}, b"")
    assert f"a request to {origin} failed: cannot connect: the target ended the connection at once (" in caplog.text


async def test_a_target_that_never_answers_the_dial_is_a_502() -> None:
    async with Http2Target(silent=True) as target, forwarding(target.origin, limits=Limits(connect=0.2)) as (_, line):
        responses = await asyncio.gather(*(sent(line, target.origin) for _ in range(5)))
        assert {response.status for response in responses} == {502}
        # They have shared the dial.
        assert len(target.ends) == 1


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/2", "2", "", "h2", "HTTP/3.0"])
async def test_another_version_of_http_is_a_bad_request(version: str) -> None:
    async with Http2Target(on_complete=echoing) as target, forwarding(target.origin) as (_, line):
        response = await sent(line, target.origin, {"x-restate-tunnel-http-version": version})
        assert (response.status, response.body, target.ends) == (400, b"", [])


async def test_over_tls_both_sides_agree_on_http2() -> None:
    tls = tls_pair(name="127.0.0.1")
    async with (
        Http2Target(on_complete=echoing, tls=tls.cloud) as target,
        forwarding(target.origin, target_tls=lambda: tls.tunnel) as (_, line),
    ):
        assert (await sent(line, target.origin, body=b"hello")).body == b"hello"
        version = {"x-restate-tunnel-http-version": "HTTP/2.0"}
        assert (await sent(line, target.origin, version, body=b"hello")).body == b"hello"
        assert target.served[0].headers[":scheme"] == "https"


async def test_a_target_whose_certificate_is_for_another_name_is_not_spoken_to() -> None:
    tls = tls_pair(name="other.test")
    async with (
        Http2Target(on_complete=echoing, tls=tls.cloud) as target,
        forwarding(target.origin, target_tls=lambda: tls.tunnel) as (_, line),
    ):
        assert (await sent(line, target.origin)).status == 502
        assert not target.served
