"""``make fuzz``: fuzz every target in its own process, print a line for each, and fail with the input that broke it."""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import io
import json
import multiprocessing
import os
import platform
import sys
import tempfile
from contextlib import redirect_stderr
from importlib import metadata
from pathlib import Path

from tests.support import ROOT, accelerator

CRASHES = ROOT / ".cache" / "fuzz"
WIDTH = 16
START_UP = 120  # reading the seeds, on a slow machine
COLUMNS = {
    "executions": (14, 0),
    "per_second": (12, 0),
    "corpus": (9, 0),
    "worst_ratio": (13, 1),
    "memory_growth": (17, 0),
}
FORMATS = COLUMNS.items()


def fuzz(name: str, seconds: float, bug: str | None, crashes: Path) -> bool:
    """Fuzz one target; print a line, and the problem if there is one; return whether there was none."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
        folder, log = Path(temporary), Path(temporary, "log")
        # Forks, because it takes seconds to import the code and to instrument it.
        child = multiprocessing.get_context("fork").Process(target=_fuzz, args=(name, seconds, folder, bug, log))
        child.start()
        child.join(seconds + START_UP)
        if child.is_alive():
            child.kill()
            child.join()
        report = folder / "figures.json"
        figures = json.loads(report.read_text()) if report.exists() else dict.fromkeys(COLUMNS, 0)
        row = "".join(f"{figures[column]:>{width}.{digits}f}" for column, (width, digits) in FORMATS)
        print(name.ljust(WIDTH) + row, flush=True)
        if child.exitcode == 0:
            return True
        lines = log.read_text(errors="replace").splitlines()
        print("\n".join(line[:300] for line in lines if not line.startswith(("INFO", "#")))[-4000:])
        crashes.mkdir(parents=True, exist_ok=True)
        for found in [*folder.glob("crash-*"), *folder.glob("timeout-*"), *folder.glob("oom-*")]:
            kept = crashes / f"{name}-{found.name}"
            kept.write_bytes(found.read_bytes())
            print(f"{name}: the input is kept in {kept}")
        print(f"{name}: FAILED (status {child.exitcode})", flush=True)
        return False


def _fuzz(name: str, seconds: float, folder: Path, bug: str | None, log: Path) -> None:
    from fuzz.run import run

    # libFuzzer writes to the descriptors.
    with log.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    try:
        run(name, seconds, folder, bug)
    except SystemExit:
        # libFuzzer writes the input when C's exit is called, which multiprocessing does not do.
        ctypes.CDLL(None).exit(1)


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz what reads the input of strangers.")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (default: %(default)s)")
    parser.add_argument("--target", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--plant", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--crashes", type=Path, default=CRASHES, help="where inputs are kept that fail")
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this machine: it needs Linux on x86-64 and CPython 3.11 to 3.13")
        return 2
    with redirect_stderr(io.StringIO()):  # atheris names each module
        from fuzz.run import NAMES, PLANTED_IN
    unknown = [name for name in arguments.target if name not in NAMES]
    if unknown:
        parser.error(f"no target is called {unknown[0]}; there are {', '.join(NAMES)}")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("restate-identity", "atheris", "pynacl"))
    print(f"{arguments.seconds:g} s for each target; {versions}, Python {platform.python_version()}")
    print("target".ljust(WIDTH) + "".join(f"{column.replace('_', ' '):>{width}}" for column, (width, _) in FORMATS))
    runs: list[tuple[str, str | None]] = [(PLANTED_IN[bug], bug) for bug in arguments.plant]
    runs = runs or [(name, None) for name in arguments.target or NAMES]
    if ("signature", None) in runs and not accelerator.IS_BUILT:
        print("left out, the accelerator: it is not built (make accelerator), so `signature` has nothing to compare")
    crashes = arguments.crashes.absolute()
    failed = [name for name, bug in runs if not fuzz(name, arguments.seconds, bug, crashes)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
