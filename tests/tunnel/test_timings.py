"""What can be set of durations and sizes, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from h2.settings import SettingCodes

from restate_identity.tunnel import TunnelTimings, connect_tunnel
from tests.tunnel.cloud import PREFIX, Cloud
from tests.tunnel.dialling import QUICK, run, serving
from tests.tunnel.tunnels import IDENTIFIED, PATH, HeldRequests

INTEGERS = ("missed_pings", "max_streams", "stream_window", "connection_window")
SECONDS = [field.name for field in fields(TunnelTimings) if field.name not in INTEGERS]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [-1, -0.1, float("inf"), float("nan")])
def test_a_duration_is_positive_and_finite(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a finite number of seconds, .*, not "):
        replace(TunnelTimings(), **{name: value})


@pytest.mark.parametrize("name", SECONDS)
def test_only_some_durations_may_be_zero(name: str) -> None:
    if name in ("grace", "drain_grace", "steady"):
        assert getattr(replace(TunnelTimings(), **{name: 0}), name) == 0
        with pytest.raises(ValueError, match=f"{name} must be a finite number of seconds, 0 or more, not -1"):
            replace(TunnelTimings(), **{name: -1})
    else:
        with pytest.raises(ValueError, match=f"{name} must be a finite number of seconds, more than 0, not 0"):
            replace(TunnelTimings(), **{name: 0})


@pytest.mark.parametrize("name", INTEGERS)
@pytest.mark.parametrize("value", [0, -1, 2**31])
def test_a_number_is_in_its_range(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be between 1 and 2147483647, not {value}"):
        replace(TunnelTimings(), **{name: value})
    assert getattr(replace(TunnelTimings(), **{name: 2**31 - 1}), name) == 2**31 - 1
    assert name == "connection_window" or replace(TunnelTimings(), **{name: 1})


@pytest.mark.parametrize("field", fields(TunnelTimings), ids=lambda field: field.name)
@pytest.mark.parametrize("value", ["5", None, True])
def test_what_is_no_number_is_refused(field: Any, value: Any) -> None:
    with pytest.raises(TypeError, match=f"^{field.name} is a .*number"):
        replace(TunnelTimings(), **{field.name: value})


def test_a_whole_number_of_things_has_no_fraction() -> None:
    with pytest.raises(TypeError, match="missed_pings is a whole number, not a float"):
        TunnelTimings(missed_pings=1.5)  # type: ignore[arg-type]


def test_what_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValueError, match="backoff_first, 200 s, is more than backoff_limit"):
        TunnelTimings(backoff_first=200)
    with pytest.raises(ValueError, match="connection_window must be at least 65535 bytes, not 65534"):
        TunnelTimings(connection_window=65_534)
    assert TunnelTimings(connection_window=65_535).connection_window == 65_535


def test_what_is_set_stays_set() -> None:
    with pytest.raises(FrozenInstanceError):
        TunnelTimings().grace = 1  # type: ignore[misc]


@pytest.mark.parametrize("connection_window", [65_535, 100_000])
async def test_the_server_is_told_the_streams_and_the_windows(connection_window: int) -> None:
    timings = replace(QUICK, max_streams=7, stream_window=1000, connection_window=connection_window)
    async with serving(timings=timings) as (_, line):
        await line.until(lambda: line.settings_known)
        settings = line.h2.remote_settings
        assert (settings.max_concurrent_streams, settings[SettingCodes.INITIAL_WINDOW_SIZE]) == (7, 1000)
        await line.until(lambda: line.h2.outbound_flow_control_window == connection_window)
        # And the windows are opened again.
        assert (await line.request(f"{PREFIX}{PATH}", body=b"x" * 300_000)).body == b"x" * 300_000


def test_a_tunnel_has_the_timings_that_it_is_given() -> None:
    async def test() -> None:
        app = HeldRequests()
        async with Cloud() as cloud:
            timings = TunnelTimings(grace=0.2, farewell=0.2)
            async with connect_tunnel(app, servers=[str(cloud.target)], timings=timings, **IDENTIFIED):
                await app.taken(await (await cloud.line(0)).accepted())
            assert app.cancelled == 1

    run(asyncio.wait_for(test(), 60))
