"""Exit with status 0 if the service answers its health check, which is open to anybody."""

import os
import urllib.request

opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(f"http://127.0.0.1:{os.environ['PORT']}/health", timeout=3).close()
