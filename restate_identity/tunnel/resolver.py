"""Look up the servers of an SRV record: one target for each address of each of its hosts.

The two kinds of lookup have different rules. If the SRV record names no server (NXDOMAIN, an empty answer, or the
target ``.``), that is more likely a mistake in DNS than the end of the service, so nothing changes. The addresses of a
host come and go, so a definite negative answer removes them.
"""

from __future__ import annotations

import logging
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from restate_identity.tunnel.targets import Target

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

# The time limit of one query in seconds, retries included.
_PATIENCE = 5.0


class ResolutionError(Exception):
    """The record names no server, or DNS did not answer. The targets known so far stay in use."""


class _NoneError(Exception):
    """DNS definitely has no such record."""


class SrvResolver:
    """Looks up the current servers in DNS.

    Args:
        name: The name of the SRV record. The servers' certificates are verified against it.
        tls: Whether the servers speak TLS.
        name_server: Address and port of the name server to use instead of the system's.
        patience: The time limit of one query in seconds, retries included.
    """

    def __init__(
        self,
        name: str,
        *,
        tls: bool = True,
        name_server: tuple[str, int] | None = None,
        patience: float = _PATIENCE,
    ) -> None:
        self.name: str = name.removesuffix(".")
        self._said_by = "the region" if self.name.endswith(".restate.cloud") else "the name of the record"
        self._tls = tls
        self._name_server = name_server
        self._patience = patience
        # The last known addresses of each host and record type, used while DNS does not answer.
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    async def resolve(self) -> frozenset[Target]:
        """Return all current targets; none if every host definitely has no address.

        If DNS does not answer for a host, its last known addresses are used.

        Raises:
            ResolutionError: DNS did not answer for the SRV record, or the record names no server.
        """
        resolver = self._resolver()
        targets: set[Target] = set()
        known: dict[tuple[str, str], frozenset[str]] = {}
        for record in await self._records(resolver):
            host = record.target.to_text(omit_final_dot=True)
            for kind in ("A", "AAAA"):
                if (host, kind) not in known:
                    known[host, kind] = await self._addresses(resolver, host, kind)
                targets.update(Target(address, record.port, self._tls, self.name) for address in known[host, kind])
        if not targets:
            # The zone may have disappeared between the two lookups. Then the record is gone too, and this raises.
            await self._records(resolver)
        self._known = known
        return frozenset(targets)

    async def _records(self, resolver: dns.asyncresolver.Resolver) -> list[Any]:
        try:
            records = await self._ask(resolver, self.name, "SRV")
        except _NoneError as error:
            raise ResolutionError(f"DNS has no SRV record {self.name} ({error}): is {self._said_by} right?") from None
        # The root means "the service is decidedly not available at this domain" (RFC 2782).
        records = [record for record in records if record.target != dns.name.root]
        if not records:
            raise ResolutionError(f"the SRV record {self.name} names no server")
        return records

    async def _addresses(self, resolver: dns.asyncresolver.Resolver, host: str, kind: str) -> frozenset[str]:
        try:
            return frozenset(record.address for record in await self._ask(resolver, host, kind))
        except _NoneError:
            return frozenset()
        except ResolutionError as error:
            known = self._known.get((host, kind), frozenset())
            logger.warning("tunnel: %s; keeping %d known addresses", error, len(known))
            return known

    def _resolver(self) -> dns.asyncresolver.Resolver:
        try:
            # Create it anew each time, because the system's configuration may have changed.
            resolver = dns.asyncresolver.Resolver(configure=self._name_server is None)
        except dns.resolver.NoResolverConfiguration as error:
            raise ResolutionError(f"this machine has no name server configured: {error}") from None
        if self._name_server is not None:
            address, resolver.port = self._name_server
            resolver.nameservers = [address]
        return resolver

    async def _ask(self, resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> list[Any]:
        try:
            return list(await resolver.resolve(f"{name}.", kind, lifetime=self._patience))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise _NoneError(type(error).__name__) from None
        except (dns.exception.DNSException, OSError) as error:
            raise ResolutionError(f"DNS does not answer for {kind} {name}: {type(error).__name__}: {error}") from None
