"""The application's lifespan (ASGI): its start-up, before the tunnel dials, and its shutdown."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from restate_identity._waiting import limited, uninterrupted
from restate_identity.asgi import ASGIApp, Message, Receive, Scope, Send
from restate_identity.tunnel.errors import TunnelError

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class Lifespan:
    """Runs an application's start-up and shutdown. An application without lifespan support is served too.

    Args:
        app: Any ASGI application.
        limit: The time limit in seconds, for the start-up and for the shutdown.
        farewell: How many seconds the application has to end after its last message, and after its cancellation.
    """

    def __init__(self, app: ASGIApp, *, limit: float, farewell: float) -> None:
        self._app = app
        self._limit = limit
        self._farewell = farewell
        self._state: dict[str, Any] = {}
        self._to_app: asyncio.Queue[Message] = asyncio.Queue()
        self._started = asyncio.Event()
        self._stopping = False
        self._stopped = asyncio.Event()
        self._failure: str | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Wait until the application is ready for requests.

        Raises:
            TunnelError: The application reported a failure, or did not answer within the limit.
        """
        self._to_app.put_nowait({"type": "lifespan.startup"})
        self._task = asyncio.ensure_future(self._run())
        try:
            await limited(self._started.wait(), self._limit)
        except asyncio.TimeoutError:
            await self._cancel()
            raise TunnelError(
                f"the application did not start up within {self._limit:g} s: nothing was dialled; "
                "see what its lifespan handler waits for"
            ) from None
        except asyncio.CancelledError:
            await uninterrupted(self._cancel())
            raise
        if self._failure is not None:
            await self._cancel()
            raise TunnelError(f"the application failed to start up: {self._failure}")

    async def stop(self, *, within: float | None = None) -> None:
        """Let the application shut down, for at most *within* seconds or the limit. A failure is only logged.

        Cancelling this method leaves the application as it is; call it again.
        """
        limit = self._limit if within is None else min(within, self._limit)
        if not self._stopping:
            self._stopping = True
            self._to_app.put_nowait({"type": "lifespan.shutdown"})
        try:
            await limited(self._stopped.wait(), limit)
        except asyncio.TimeoutError:
            logger.warning("tunnel: the application did not shut down within %g s", limit)
        await self._cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application for one request (ASGI), with a copy of the state from its start-up."""
        scope["state"] = self._state.copy()
        await self._app(scope, receive, send)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self._state}
        try:
            await self._app(scope, self._to_app.get, self._from_app)
        except Exception as error:
            if not self._started.is_set():
                # By the specification, this means that the application does not support lifespan.
                logger.info("tunnel: the application does not support lifespan (%s)", type(error).__name__)
            elif not self._stopped.is_set():
                logger.exception("tunnel: the lifespan of the application failed")
        finally:
            self._started.set()
            self._stopped.set()

    async def _from_app(self, message: Message) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._started.set()
        elif kind == "lifespan.startup.failed":
            self._failure = _reason(message)
            self._started.set()
        elif kind == "lifespan.shutdown.complete":
            self._stopped.set()
        elif kind == "lifespan.shutdown.failed":
            logger.error("tunnel: the application failed to shut down: %s", _reason(message))
            self._stopped.set()

    async def _cancel(self) -> None:
        assert self._task is not None
        if self._stopped.is_set():
            # The application may still do something after its last message, for a moment.
            await asyncio.wait({self._task}, timeout=self._farewell)
        self._task.cancel()
        await asyncio.wait({self._task}, timeout=self._farewell)


def _reason(failure: Message) -> str:
    return str(failure.get("message") or "see its own log")
