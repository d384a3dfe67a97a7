"""`Tunnel`: the object that users hold while a tunnel serves their application."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence

from restate_identity._waiting import cancel, uninterrupted
from restate_identity.asgi import ASGIApp, RequestIdentityMiddleware
from restate_identity.telemetry import Observer
from restate_identity.tunnel.deployment import SEGMENTS, deployment_url
from restate_identity.tunnel.errors import TunnelError
from restate_identity.tunnel.handshake import Acceptance, Credentials
from restate_identity.tunnel.hpack_log import quiet_hpack
from restate_identity.tunnel.lane import ServerState
from restate_identity.tunnel.lifespan import Lifespan
from restate_identity.tunnel.options import TunnelOptions
from restate_identity.tunnel.outlet import Outlet
from restate_identity.tunnel.resolver import SrvResolver
from restate_identity.tunnel.supervisor import Supervisor, TargetSource
from restate_identity.tunnel.timings import TunnelTimings
from restate_identity.verifier import IdentityVerifier

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")


class Tunnel:
    """A running tunnel. Use `connect_tunnel` to create one.

    Args:
        app: The application without a guard; the tunnel adds the guard.
        options: The configuration.
        timings: Time limits, and limits on what may be in flight.
        source: For tests: a source of targets that replaces the configured ones.
        tls: A context to use instead of the system's certificate authorities; its ALPN protocols are set to ``h2``.
        observer: Receives the outcome of every verified request.
        cancels: Whether a call of the application is cancelled when its stream is lost, besides ``http.disconnect``.
        segments: Scheme, host and port of each deployment, as `deployment_url` takes them.
    """

    def __init__(
        self,
        app: ASGIApp,
        options: TunnelOptions,
        *,
        timings: TunnelTimings = TunnelTimings(),  # noqa: B008 (frozen)
        source: TargetSource | None = None,
        tls: ssl.SSLContext | None = None,
        observer: Observer | None = None,
        cancels: bool = False,
        segments: Sequence[str] = (SEGMENTS,),
    ) -> None:
        self.options = options
        self._timings = timings
        self._lifespan = Lifespan(app, limit=timings.start_limit, farewell=timings.farewell)
        verifier = IdentityVerifier(options.signing_public_keys)
        guarded = RequestIdentityMiddleware(self._lifespan.serve, verifier=verifier, observer=observer)
        if source is None and options.servers_srv is not None:
            source = SrvResolver(options.servers_srv, tls=options.tls)
        speaks_tls = options.tls if source is not None else any(target.tls for target in options.servers)
        if tls is None and speaks_tls:
            tls = ssl.create_default_context()
        credentials = Credentials(
            environment_id=options.environment_id,
            tunnel_name=options.tunnel_name,
            worker_id=options.worker_id,
            read_token=options.auth_token.read,
        )
        self._supervisor = Supervisor(
            Outlet(guarded, credentials, timings, tls, cancels=cancels),
            targets=options.servers,
            source=source,
            on_accepted=self._accepted,
        )
        self._segments = tuple(segments)
        self._acceptance: Acceptance | None = None
        self._connection_count = 0
        self._deployment_url: str | None = None
        self._was_ready = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @property
    def deployment_url(self) -> str:
        """The URL to register with Restate, ``https://…:9080/<environment>/<tunnel name>/http/in-process/9080/``.

        Raises:
            RuntimeError: The URL is not known before the tunnel is `ready`.
        """
        if self._deployment_url is None:
            raise _too_early("the deployment URL")
        return self._deployment_url

    @property
    def proxy_url(self) -> str:
        """The public URL of the tunnel, as the server last sent it. Register `deployment_url` instead.

        Raises:
            RuntimeError: The URL is not known before the tunnel is `ready`.
        """
        return self._accepted_with("the proxy URL").proxy_url

    @property
    def tunnel_url(self) -> str:
        """The URL of the tunnel server, as the server last sent it.

        Raises:
            RuntimeError: The URL is not known before the tunnel is `ready`.
        """
        return self._accepted_with("the tunnel URL").tunnel_url

    @property
    def connection_count(self) -> int:
        """How many connections the servers have accepted since the tunnel started. It never decreases."""
        return self._connection_count

    @property
    def error(self) -> BaseException | None:
        """The error that ended the tunnel, usually a `TunnelError`; None if there was none. `wait_closed` raises it."""
        return self._supervisor.failure

    @property
    def is_serving(self) -> bool:
        """Whether a connection serves now. False before the first, between connections, and while the tunnel stops."""
        return self._supervisor.is_serving

    @property
    def servers(self) -> dict[str, ServerState]:
        """The state of the connections to each server, by its address, ``https://10.0.0.7:9080``."""
        return self._supervisor.servers

    async def ready(self) -> None:
        """Wait until the first connection serves. Later calls return at once.

        There is no time limit; use ``asyncio.wait_for`` to set one.

        Raises:
            TunnelError: The tunnel has ended. The message says why.
        """
        assert self._running is not None
        waiting = asyncio.ensure_future(self._was_ready.wait())
        try:
            await asyncio.wait({waiting, self._running}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()
        self._raise_failure()
        if not self._was_ready.is_set():
            raise TunnelError("the tunnel was closed before a connection served")

    async def wait_closed(self) -> None:
        """Wait until the tunnel has ended: after `stop` or `aclose`, or because dialling again would not help.

        Raises:
            TunnelError: Dialling again would not help. The message says what to do.
        """
        assert self._running is not None
        await asyncio.wait({self._running})
        self._raise_failure()

    def stop(self) -> None:
        """Stop without waiting: refuse new requests, and let those in flight finish. `wait_closed` waits for the end.

        It may also be called from a signal handler or another thread.
        """
        if self._running is not None and not self._running.done():
            self._running.get_loop().call_soon_threadsafe(self._supervisor.stop)

    async def aclose(self) -> None:
        """Stop the tunnel, and wait until it has ended.

        Requests in flight have up to ``timings.grace`` seconds to finish, including those whose connection was lost;
        then they are cancelled. After that the application has ``timings.start_limit`` seconds to shut down.

        Cancelling this method ends the requests in flight at once. It does not raise the error that ended the tunnel;
        see `wait_closed`.
        """
        if self._running is None:
            return
        self._supervisor.stop()
        try:
            await asyncio.wait({self._running})
        except asyncio.CancelledError:
            await uninterrupted(cancel(self._running))
            raise

    async def start(self) -> None:
        """Start the application, then start to dial.

        Raises:
            ValueError: The auth token file cannot be read, or holds no token; nothing was started.
            TunnelError: The application did not start up; nothing was dialled.
        """
        self._check_token()
        quiet_hpack()
        await self._lifespan.start()
        self._running = asyncio.ensure_future(self._run())

    def _check_token(self) -> None:
        """Read the token once, to report a wrong configuration at the start. Later failures are retried."""
        origin = f"auth_token_file, or {self.options.variables.auth_token_file}"
        try:
            self.options.auth_token.read()
        except OSError as error:
            raise ValueError(f"{origin}: the file {error.filename!r} cannot be read: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"{origin}: {error}") from None

    async def _run(self) -> None:
        try:
            # The supervisor logs a failure and keeps it; `ready` and `wait_closed` raise it.
            await self._supervisor.run()
            await self._lifespan.stop()
        except asyncio.CancelledError:
            # Cancelled: end at once.
            await uninterrupted(self._lifespan.stop(within=self._timings.farewell))
            raise

    def _raise_failure(self) -> None:
        if self._supervisor.failure is not None:
            raise self._supervisor.failure

    def _accepted_with(self, what: str) -> Acceptance:
        if self._acceptance is None:
            raise _too_early(what)
        return self._acceptance

    def _accepted(self, acceptance: Acceptance) -> None:
        self._connection_count += 1
        try:
            urls = [deployment_url(acceptance.proxy_url, segments) for segments in self._segments]
        except ValueError as error:
            logger.error("tunnel worker=%s: %s", self.options.worker_id, error)
            return
        self._acceptance = acceptance
        if urls[0] != self._deployment_url:
            self._deployment_url = urls[0]
            for url in urls:
                logger.info("tunnel worker=%s: the deployment to register is %s", self.options.worker_id, url)
        self._was_ready.set()


def _too_early(what: str) -> RuntimeError:
    return RuntimeError(f"{what} comes from the tunnel server: await tunnel.ready() first")
