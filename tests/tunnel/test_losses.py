"""Nothing is lost: requests come at a steady rate while DNS fails, and all are served."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.tunnel.cloud import Cloud, tls_pair
from tests.tunnel.dialling import run, until
from tests.tunnel.name_server import RECORD, NameServer
from tests.tunnel.traffic import Traffic
from tests.tunnel.tunnels import SOON, opened


@pytest.mark.parametrize("everything", [True, False], ids=["the zone", "the record"])
def test_dns_that_denies_the_record_for_a_while_loses_nothing(everything: bool) -> None:
    async def test() -> None:
        tls = tls_pair()
        async with NameServer(a="127.0.0.1") as names, Cloud(tls=tls.cloud) as cloud:
            names.serve(("a", cloud.port))
            async with (
                opened(source=names.resolver(), tls=tls.tunnel, timings=replace(SOON, resolve_every=0.02)) as tunnel,
                Traffic(cloud) as traffic,
            ):
                await tunnel.ready()
                traffic.lost.clear()
                records = dict(names.records)
                if everything:
                    names.records.clear()
                else:
                    del names.records[RECORD, "SRV"]
                asked = names.asked
                await until(lambda: names.asked > asked + 10)
                names.records.update(records)
                await traffic.more()
            assert traffic.lost == []
            assert len(cloud.lines) == 1

    run(test())
