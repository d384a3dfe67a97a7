"""Draw the plots of the docs from the JSON of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.contenders import LIBSODIUM, NATIVE
from benchmarks.workloads.refusals import BEFORE_CRYPTOGRAPHY, LARGE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS_COLOUR = "#2a6f97"
PEER_COLOUR = "#adb5bd"
FLOOR_COLOUR = "#e9c46a"

Measured = dict[str, Any]
"""One workload in the JSON of a run."""


def draw(result: dict[str, Any], folder: Path) -> list[Path]:
    """Draw each plot as an SVG file in *folder*, and return the files."""
    import matplotlib

    matplotlib.use("svg")
    # Keep text as text, and make the same file from the same numbers.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "restate-identity", "font.size": 9})
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, (workload, height, paint) in _PLOTS.items():
        if workload not in result["workloads"]:
            continue
        figure = Figure(figsize=(7.5, height), layout="constrained")
        axes = figure.subplots()
        axes.spines[["top", "right"]].set_visible(False)
        paint(axes, result["workloads"][workload])
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        # A line break at the end, and no spaces at the ends of the others.
        path.write_text("".join(f"{line.rstrip()}\n" for line in path.read_text(encoding="utf-8").splitlines()))
        drawn.append(path)
    return drawn


def _bars(axes: Axes, measured: Measured, names: Sequence[str], *, scale: float = 1e3, unit: str = "µs a call") -> None:
    summaries = [measured["summaries"][name] for name in names]
    medians = [each["median"] / scale for each in summaries]
    spread = [
        [max(0.0, each["median"] - each["p5"]) / scale for each in summaries],
        [max(0.0, each["p95"] - each["median"]) / scale for each in summaries],
    ]
    bars = axes.barh(
        names, medians, xerr=spread, color=[_colour(name) for name in names], error_kw={"lw": 0.8, "ecolor": "#444"}
    )
    axes.bar_label(bars, [f"{median:,.3g}" if median < 1000 else f"{median:,.0f}" for median in medians], padding=4)
    axes.margins(x=0.12)
    axes.invert_yaxis()
    axes.set_xlabel(f"{unit}, median with 5th and 95th percentile")


def _colour(name: str) -> str:
    if "this project" in name or "middleware" in name or "tunnel" in name:
        return OURS_COLOUR
    return FLOOR_COLOUR if "bare" in name else PEER_COLOUR


def _by_cost(measured: Measured) -> list[str]:
    return sorted(measured["summaries"], key=lambda name: float(measured["summaries"][name]["median"]))


def _seen(axes: Axes, measured: Measured) -> None:
    _bars(axes, measured, _by_cost(measured))
    axes.set_xscale("log")
    axes.set_title("A token that was seen before (logarithmic)")


def _new(axes: Axes, measured: Measured) -> None:
    _bars(axes, measured, _by_cost(measured))
    axes.set_title("A new token")


def _keys(axes: Axes, measured: Measured) -> None:
    counts = (1, 3, 10)
    for label, kind, colour, style in (
        ("this project", "token seen before", OURS_COLOUR, "--"),
        ("this project", "new token", OURS_COLOUR, "-"),
        ("Python SDK", "new token", PEER_COLOUR, "-"),
    ):
        names = [f"{label}, {'1 key' if count == 1 else f'{count} keys'}, {kind}" for count in counts]
        _line(axes, counts, [measured["summaries"][name] for name in names], f"{label}, {kind}", colour, style)
    axes.set(xlabel="configured keys, the last one signed", ylabel="µs a call", xticks=counts)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.set_title("Several keys")


def _refusals(axes: Axes, measured: Measured) -> None:
    kinds = (*BEFORE_CRYPTOGRAPHY, *LARGE, "bad signature", "expired", "wrong audience")
    names = [f"this project: {kind}" for kind in kinds]
    _bars(axes, measured, [*names, LIBSODIUM])
    axes.set_title("Refusals")


def _recorded(axes: Axes, measured: Measured) -> None:
    for path, colour in (("/invoke/Echo/say", OURS_COLOUR), ("/invoke/Account/touch", FLOOR_COLOUR)):
        if path not in measured["facts"]:
            continue
        seconds = measured["facts"][path]["each second"]
        numbers = range(len(seconds))
        axes.plot(numbers, [calls for calls, _ in seconds], color=colour, ls=":", label=f"{path}, requests")
        axes.plot(numbers, [distinct for _, distinct in seconds], color=colour, label=f"{path}, distinct tokens")
    axes.set(xlabel="second", ylabel="a second")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.set_title("Recorded from a real server: requests and distinct tokens")


def _objects(axes: Axes, measured: Measured) -> None:
    names = [name for name in measured["summaries"] if name.startswith("this project, ")]
    counts = [int(name.split()[2].replace(",", "")) for name in names]
    _line(axes, counts, [measured["summaries"][name] for name in names], "this project", OURS_COLOUR, "-")
    native = measured["summaries"][NATIVE]
    _line(axes, counts, [native] * len(counts), NATIVE, PEER_COLOUR, "-")
    for count, name in zip(counts, names, strict=True):
        hits = f"{measured['facts'][name]['hit rate']:.0%} seen"
        _above(axes, hits, count, measured["summaries"][name]["median"] / 1e3)
    axes.set(xlabel="virtual objects (logarithmic)", ylabel="µs a call", xscale="log")
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.set_title(f"Many objects: {measured['notes'][0].split(',  ')[0].split(', cache')[0]}")


def _cache(axes: Axes, measured: Measured) -> None:
    names = list(measured["summaries"])
    sizes = [int(name.partition("=")[2].replace(",", "")) for name in names]
    _line(axes, sizes, [measured["summaries"][name] for name in names], "this project", OURS_COLOUR, "-")
    for size, name in zip(sizes, names, strict=True):
        hits = f"{measured['facts'][name]['hit rate']:.0%} seen"
        _above(axes, hits, size, measured["summaries"][name]["median"] / 1e3)
    axes.set(xlabel="cache_size (logarithmic)", ylabel="µs a call", xscale="log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_ylim(bottom=0)
    axes.set_title(f"The size of the cache, 10,000 objects: {measured['notes'][0]}")


def _threads(axes: Axes, measured: Measured) -> None:
    for label, colour in (("this project", OURS_COLOUR), ("Python SDK", PEER_COLOUR)):
        counts = (1, 2, 4)
        medians = [
            measured["summaries"][f"{label}, {'1 thread' if count == 1 else f'{count} threads'}"]["median"]
            for count in counts
        ]
        axes.plot(counts, [1e9 / median for median in medians], "o-", color=colour, label=label)
    axes.set(xlabel="threads", ylabel="new tokens a second", xticks=counts)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False)
    axes.set_title("Threads")


def _rates(axes: Axes, measured: Measured, *, through: str) -> None:
    names = [name for name in measured["summaries"] if not name.endswith((", p50", ", p99", ", TLS"))]
    _bars(axes, measured, names, scale=1, unit="requests a second")
    axes.set_title(f"The whole request through {through}")


def _memory(axes: Axes, measured: Measured) -> None:
    readings = next(iter(measured["facts"].values()))["readings"]
    axes.plot([number for number, _ in readings], [rss / 2**20 for _, rss in readings], "o-", color=OURS_COLOUR)
    axes.set(xlabel="distinct valid tokens verified", ylabel="resident memory, MiB")
    axes.set_ylim(bottom=0)
    axes.set_title("Memory under a flood of valid tokens")


def _above(axes: Axes, words: str, x: int, y: float) -> None:
    """Label a point where neither the line nor an axis runs through the words."""
    axes.annotate(words, (x, y), (0, 6), textcoords="offset points", ha="center")
    axes.margins(x=0.08, y=0.15)


def _line(
    axes: Axes, x: Sequence[int], summaries: Sequence[dict[str, float]], label: str, colour: str, style: str
) -> None:
    axes.plot(x, [each["median"] / 1e3 for each in summaries], f"o{style}", color=colour, label=label)
    low, high = ([each[edge] / 1e3 for each in summaries] for edge in ("p5", "p95"))
    axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)


_PLOTS: dict[str, tuple[str, float, Callable[[Axes, Measured], None]]] = {
    "seen": ("seen", 4.0, _seen),
    "new": ("new", 4.2, _new),
    "keys": ("keys", 3.5, _keys),
    "refusals": ("refusals", 4.0, _refusals),
    "recorded": ("recorded", 3.5, _recorded),
    "objects": ("objects", 3.5, _objects),
    "cache": ("cache", 3.5, _cache),
    "threads": ("threads", 3.5, _threads),
    "servers": ("servers", 3.5, partial(_rates, through="an ASGI server")),
    "tunnel": ("tunnel", 2.2, partial(_rates, through="the tunnel")),
    "tunnel-client": ("tunnel-client", 3.0, partial(_rates, through="the tunnel client and nginx")),
    "memory": ("memory", 3.0, _memory),
}
