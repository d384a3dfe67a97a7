"""A fake Restate Cloud with a public URL: what is sent there goes through one of the tunnels that have dialled in.

It runs in Node (`public.mjs`), whose HTTP/2 is nghttp2. The tunnel and `cloud.py` both use the library h2; a mistake of
the tunnel, or of h2, that both ends would make alike cannot hide from another implementation.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path

MOUNT = "/environment/greeter"
PROGRAM = Path(__file__).with_suffix(".mjs")

# What can happen to a connection of the tunnel while it serves: it breaks; the tunnel is asked to go elsewhere; no more
# streams are announced; it stays, but every stream is given up.
HARM = ("kill", "drain", "goaway", "give_up")


@dataclass(frozen=True)
class Line:
    """A connection that a tunnel dialled, as it was last seen.

    Attributes:
        number: Which one it is, in the order of dialling.
        in_use: Whether requests are sent there: neither end has said that it is done.
        lost: Whether it has ended.
        forwarded: How many requests were sent there.
    """

    number: int
    in_use: bool
    lost: bool
    forwarded: int


class Public:
    """A process with some tunnel servers and one public URL, HTTP/2 in cleartext, from ``async with`` to its end.

    Attributes:
        lines: The connections that tunnels dialled, in order.
        servers: What a tunnel dials.
        proxy_url: What Restate dials.
    """

    servers: list[str]
    proxy_url: str

    def __init__(self, servers: int) -> None:
        self._count = servers
        self._lines: dict[int, Line] = {}
        self._answers: asyncio.Queue[bool] = asyncio.Queue()
        self._one_at_a_time = asyncio.Lock()

    async def __aenter__(self) -> Public:
        self._process = await asyncio.create_subprocess_exec(
            *("node", str(PROGRAM), str(self._count), MOUNT),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        where = json.loads(await self._process.stdout.readline())
        self.servers, self.proxy_url = where["servers"], where["proxy_url"]
        self._listening = asyncio.ensure_future(self._listen(self._process.stdout))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._listening

    @property
    def lines(self) -> list[Line]:
        return list(self._lines.values())

    @property
    def in_use(self) -> list[Line]:
        """The connections that requests are sent to."""
        return [line for line in self.lines if line.in_use]

    async def harm(self, what: str, line: Line) -> bool:
        """Do one of `HARM` to a connection; return whether it happened."""
        assert what in HARM
        assert self._process.stdin is not None
        async with self._one_at_a_time:
            self._process.stdin.write(json.dumps({"harm": what, "line": line.number}).encode() + b"\n")
            return await self._answers.get()

    async def _listen(self, output: asyncio.StreamReader) -> None:
        async for text in output:
            message = json.loads(text)
            if "done" in message:
                self._answers.put_nowait(message["done"])
            else:
                number = message.pop("line")
                self._lines[number] = Line(number, **message)
