"""The servers behind an SRV record: one target for each address of each of its hosts.

There are two questions, with two rules. The record says that there are servers at all: an answer that names none, be it
NXDOMAIN, empty, or the target ``.``, is more likely a mistake in DNS than the end of the service, and changes nothing.
The addresses of a host come and go: a definite "there is none" removes them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.name
import dns.rdatatype
import dns.resolver

from restate_identity.tunnel.targets import Target

logger: logging.Logger = logging.getLogger("restate_identity.tunnel")

# For one question, with its repetitions, in seconds.
_PATIENCE = 5.0


class ResolutionError(Exception):
    """The record names no server, or the question was not answered: what was known before stays."""


class _NoneError(Exception):
    """The definite answer is that there is none."""


class SrvResolver:
    """Asks DNS which servers there are.

    Args:
        name: The name of the SRV record; certificates are verified against it.
        tls: Whether its servers speak TLS.
        nameservers: The addresses of name servers to ask instead of the system's.
        port: Where those listen.
        patience: Seconds for one question, with its repetitions.
    """

    def __init__(
        self,
        name: str,
        *,
        tls: bool = True,
        nameservers: Sequence[str] = (),
        port: int = 53,
        patience: float = _PATIENCE,
    ) -> None:
        self.name: str = name.rstrip(".")
        self._said_by = "the region" if name.rstrip(".").endswith(".restate.cloud") else "the name of the record"
        self._tls = tls
        self._nameservers = list(nameservers)
        self._port = port
        self._patience = patience
        # What each host was last known to have, for the time when DNS does not answer.
        self._known: dict[tuple[str, str], frozenset[str]] = {}

    async def resolve(self) -> frozenset[Target]:
        """Return all targets that there are now; none, if every host is definitely without an address.

        Addresses of a host whose question is not answered stay what they were.

        Raises:
            ResolutionError: The record itself was not answered, or names no server.
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
            # The zone may have gone between the two questions; then the record is gone too, and this raises.
            await self._records(resolver)
        self._known = known
        return frozenset(targets)

    async def _records(self, resolver: dns.asyncresolver.Resolver) -> list[Any]:
        try:
            records = await self._ask(resolver, self.name, "SRV")
        except _NoneError as error:
            raise ResolutionError(f"DNS knows no SRV {self.name}: {error}; is {self._said_by} right?") from None
        # The root means "the service is decidedly not available at this domain" (RFC 2782).
        records = [record for record in records if record.target != dns.name.root]
        if not records:
            raise ResolutionError(f"SRV {self.name} names no server")
        return records

    async def _addresses(self, resolver: dns.asyncresolver.Resolver, host: str, kind: str) -> frozenset[str]:
        try:
            return frozenset(record.address for record in await self._ask(resolver, host, kind))
        except _NoneError:
            return frozenset()
        except ResolutionError as error:
            known = self._known.get((host, kind), frozenset())
            logger.warning("tunnel: %s; %d addresses that were known stay", error, len(known))
            return known

    def _resolver(self) -> dns.asyncresolver.Resolver:
        try:
            # A new one each time: the system's configuration may have changed.
            resolver = dns.asyncresolver.Resolver(configure=not self._nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise ResolutionError(f"this machine names no name server: {error}") from None
        if self._nameservers:
            resolver.nameservers = list(self._nameservers)
            resolver.port = self._port
        return resolver

    async def _ask(self, resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> list[Any]:
        try:
            return list(await resolver.resolve(f"{name}.", kind, search=False, lifetime=self._patience))
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer) as error:
            raise _NoneError(type(error).__name__) from None
        except (dns.exception.DNSException, OSError) as error:
            raise ResolutionError(f"DNS does not answer for {kind} {name}: {type(error).__name__}: {error}") from None
