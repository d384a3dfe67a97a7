"""A DNS server on a free UDP port of the loopback interface; a test decides what it knows, and whether it answers."""

from __future__ import annotations

import asyncio
import sys

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from restate_identity.tunnel.resolver import SrvResolver

RECORD = "tunnel.test"


class NameServer(asyncio.DatagramProtocol):
    """Answers from `records`; what is not there does not exist.

    Attributes:
        records: The data of each name and type, as in a zone file.
        failing: Names and types that get SERVFAIL.
        silent: Whether no question is answered.
        asked: How many questions came.
        gone_after: After so many questions nothing exists any more.
    """

    def __init__(self, **hosts: str) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.failing: set[tuple[str, str]] = set()
        self.silent = False
        self.asked = 0
        self.gone_after = sys.maxsize
        for host, address in hosts.items():
            self.records[f"{host}.test", "A"] = [address]

    async def __aenter__(self) -> NameServer:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", 0))
        self.port: int = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._transport.close()
        await asyncio.sleep(0)

    def serve(self, *servers: tuple[str, int]) -> None:
        """Let the SRV record name these hosts and ports."""
        self.records[RECORD, "SRV"] = [f"0 0 {port} {host}.test." for host, port in servers]

    def resolver(self, name: str = RECORD, *, patience: float = 5.0) -> SrvResolver:
        """Return a resolver of the record with this *name* that asks this server."""
        return SrvResolver(name, name_server=("127.0.0.1", self.port), patience=patience)

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        self.asked += 1
        if self.asked > self.gone_after:
            self.records = {}
        if self.silent:
            return
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if (name, kind) in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif records := self.records.get((name, kind)):
            response.answer.append(dns.rrset.from_text_list(question.name, 1, "IN", kind, records))
        elif not any(known == name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(response.to_wire(), address)
