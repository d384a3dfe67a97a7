"""Whether an endpoint answers before a body ends, asked of servers that do, that do not, and that do other things."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from restate_identity._open_body import waits_for_the_end
from tests.support.processes import free_port
from tests.tunnel.client.http2_target import Http2Target, Served
from tests.tunnel.cloud import tls_pair


async def asked(url: str, *, patience: float = 20.0) -> bool | None:
    return await asyncio.to_thread(waits_for_the_end, url, patience=patience)


async def test_an_endpoint_that_answers_before_the_body_ends_does_not_wait() -> None:
    async with Http2Target(on_request=Served.answer) as target:
        assert await asked(f"{target.origin}/mounted/discover") is False
        [served] = target.served
        assert served.fields == [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", f"127.0.0.1:{target.port}"),
            (":path", "/mounted/discover"),
        ]
        assert (bytes(served.body), served.complete) == (b"{", False)


async def test_an_endpoint_that_answers_after_the_end_waits() -> None:
    async with Http2Target(on_complete=Served.answer) as target:
        assert await asked(f"{target.origin}/discover", patience=0.5) is True


@pytest.mark.parametrize("answers", [False, True])
async def test_what_else_an_endpoint_sends_is_no_answer_however_much_it_is(answers: bool) -> None:
    async def ping(served: Served) -> None:
        while True:
            served.end.h2.ping(b"8 bytes.")
            served.end.flush()
            await asyncio.sleep(0.01)

    pinging: list[asyncio.Task[None]] = []
    async with Http2Target(on_request=lambda served: pinging.append(asyncio.ensure_future(ping(served)))) as target:
        target.on_complete = Served.answer if answers else lambda _: None
        url = f"{target.origin}/discover"
        assert await (asked(url, patience=0.5) if answers else asked(url, patience=0.2)) is (True if answers else None)
        pinging[0].cancel()


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_where_nobody_speaks_http2_there_is_no_answer(sent: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(24)
        writer.write(sent)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        assert await asked(f"http://127.0.0.1:{port}/discover") is None
    assert await asked(f"http://127.0.0.1:{free_port()}/discover") is None


@pytest.mark.parametrize(("name", "answered"), [("127.0.0.1", False), ("127.0.0.2", None)])
async def test_over_tls_the_name_of_the_endpoint_is_checked(
    name: str, answered: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = tls_pair(name=name)
    (tmp_path / "authority.pem").write_bytes(tls.authority)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    async with Http2Target(tls=tls.cloud, on_request=Served.answer) as target:
        assert await asked(f"{target.origin}/discover") is answered
        if answered is not None:
            assert target.ends[0].transport.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_a_url_without_a_port_has_that_of_its_scheme(monkeypatch: pytest.MonkeyPatch, scheme: str, port: int) -> None:
    called: list[Any] = []

    def refuse(address: Any, *, timeout: float) -> None:
        called.append((address, timeout))
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    assert waits_for_the_end(f"{scheme}://a.test/discover", patience=7) is None
    assert called == [(("a.test", port), 7)]
