"""The other end of the tunnel in these tests is not the tunnel's own code."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("module", ["tests.tunnel.cloud", "tests.tunnel.public"])
def test_a_fake_cloud_uses_no_code_of_the_tunnel(module: str) -> None:
    code = f"import sys, {module}; print([name for name in sys.modules if name.startswith('restate_identity')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
