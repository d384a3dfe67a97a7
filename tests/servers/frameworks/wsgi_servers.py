"""The two WSGI servers that have no command line: ``python -m tests.servers.frameworks.wsgi_servers wsgiref PORT``."""

from __future__ import annotations

import socketserver
import sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from werkzeug.serving import WSGIRequestHandler as WerkzeugRequestHandler
from werkzeug.serving import run_simple

from tests.servers.frameworks.wsgi import app


class _Threaded(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class _SilentWerkzeug(WerkzeugRequestHandler):
    # Its line for an odd path fails, and then the response is not sent.
    def log_request(self, *_: object, **__: object) -> None:
        pass


def main() -> None:
    name, port = sys.argv[1], int(sys.argv[2])
    if name == "werkzeug":
        run_simple("127.0.0.1", port, app, threaded=True, request_handler=_SilentWerkzeug)
    else:
        make_server("127.0.0.1", port, app, _Threaded, _Silent).serve_forever()


if __name__ == "__main__":
    main()
