"""Which servers an SRV record names, asked of a real name server."""

from __future__ import annotations

from collections.abc import Iterable

import dns.resolver
import pytest

from restate_identity.tunnel.resolver import ResolutionError, SrvResolver
from restate_identity.tunnel.targets import Target
from tests.tunnel.name_server import RECORD, NameServer


def targets(*addresses: tuple[str, int]) -> Iterable[Target]:
    return {Target(host, port, True, RECORD) for host, port in addresses}


async def test_every_address_of_every_host_is_a_target_verified_by_the_name_of_the_record() -> None:
    async with NameServer(b="127.0.0.3") as names:
        names.records["a.test", "A"] = ["127.0.0.1", "127.0.0.2"]
        names.records["a.test", "AAAA"] = ["::1"]
        names.serve(("a", 1), ("b", 2), ("a", 3))
        expected = [("127.0.0.1", 1), ("127.0.0.2", 1), ("::1", 1), ("127.0.0.3", 2)]
        expected += [("127.0.0.1", 3), ("127.0.0.2", 3), ("::1", 3)]
        assert await names.resolver().resolve() == targets(*expected)


async def test_a_host_that_definitely_has_no_address_is_no_target() -> None:
    async with NameServer(a="127.0.0.1") as names:
        resolver = names.resolver()
        names.serve(("a", 1), ("nowhere", 2))
        assert await resolver.resolve() == targets(("127.0.0.1", 1))
        del names.records["a.test", "A"]
        assert await resolver.resolve() == set()


@pytest.mark.parametrize("records", [None, [], ["0 0 0 ."]], ids=["NXDOMAIN", "NODATA", "root"])
async def test_a_record_that_names_no_server_is_not_believed(records: list[str] | None) -> None:
    async with NameServer(a="127.0.0.1") as names:
        names.serve(("a", 1))
        resolver = names.resolver()
        assert await resolver.resolve() == targets(("127.0.0.1", 1))
        if records is None:
            del names.records[RECORD, "SRV"]
        else:
            names.records[RECORD, "SRV"] = records
        with pytest.raises(ResolutionError, match=RECORD):
            await resolver.resolve()
        names.serve(("a", 1))
        assert await resolver.resolve() == targets(("127.0.0.1", 1))


@pytest.mark.parametrize("dot", ["", "."])
@pytest.mark.parametrize(
    ("name", "doubtful"), [("tunnel.eu.restate.cloud", "the region"), ("tunnel.test", "the name of the record")]
)
async def test_a_name_without_a_record_is_told_with_what_to_check(name: str, doubtful: str, dot: str) -> None:
    async with NameServer() as names:
        with pytest.raises(ResolutionError) as error:
            await names.resolver(f"{name}{dot}").resolve()
    assert str(error.value) == f"DNS has no SRV record {name} (NXDOMAIN): is {doubtful} right?"


async def test_a_machine_without_a_name_server_is_told_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration("nothing in /etc/resolv.conf")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", read)
    with pytest.raises(ResolutionError, match=r"no name server configured: nothing in /etc/resolv\.conf"):
        await SrvResolver(RECORD).resolve()
    async with NameServer(a="127.0.0.1") as names:
        names.serve(("a", 1))
        assert await names.resolver().resolve() == targets(("127.0.0.1", 1))


async def test_a_zone_that_goes_between_the_two_questions_is_not_believed_either() -> None:
    async with NameServer(a="127.0.0.1") as names:
        names.serve(("a", 1))
        names.gone_after = 1
        with pytest.raises(ResolutionError, match=RECORD):
            await names.resolver().resolve()


@pytest.mark.parametrize("silent", [True, False])
async def test_no_answer_is_not_a_no(silent: bool) -> None:
    async with NameServer(a="127.0.0.1") as names:
        names.serve(("a", 1))
        resolver = names.resolver(patience=0.3)
        if silent:
            names.silent = True
        else:
            names.failing.add((RECORD, "SRV"))
        with pytest.raises(ResolutionError, match="DNS does not answer for SRV tunnel"):
            await resolver.resolve()


async def test_a_host_that_is_not_answered_keeps_the_addresses_that_it_had(caplog: pytest.LogCaptureFixture) -> None:
    async with NameServer(a="127.0.0.1", b="127.0.0.2") as names:
        names.serve(("a", 1), ("b", 2))
        resolver = names.resolver(patience=1)
        await resolver.resolve()
        names.failing.add(("a.test", "A"))
        names.records["b.test", "A"] = ["127.0.0.4"]
        for _ in range(2):
            assert await resolver.resolve() == targets(("127.0.0.1", 1), ("127.0.0.4", 2))
    for record in caplog.records:
        assert record.name == "restate_identity.tunnel"
        assert record.getMessage().startswith("tunnel: DNS does not answer for A a.test: ")
        assert record.getMessage().endswith("; keeping 1 known addresses")
    assert len(caplog.records) == 2


async def test_a_name_server_that_is_gone_is_no_answer() -> None:
    async with NameServer() as names:
        resolver = names.resolver(patience=0.3)
    with pytest.raises(ResolutionError):
        await resolver.resolve()


async def test_an_address_of_the_one_kind_is_no_answer_for_the_other() -> None:
    async with NameServer(a="127.0.0.1") as names:
        names.serve(("a", 1))
        names.records["a.test", "AAAA"] = ["::1"]
        resolver = names.resolver()
        assert await resolver.resolve() == targets(("127.0.0.1", 1), ("::1", 1))
        # Only what is not answered stays what it was.
        names.records["a.test", "A"] = ["127.0.0.2"]
        names.failing.add(("a.test", "AAAA"))
        assert await resolver.resolve() == targets(("127.0.0.2", 1), ("::1", 1))
        names.failing = {("a.test", "A")}
        names.records["a.test", "AAAA"] = ["::2"]
        assert await resolver.resolve() == targets(("127.0.0.2", 1), ("::2", 1))
