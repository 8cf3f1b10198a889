"""Exit 0 when the web process in this container responds to /healthz, with the request that the proxy would send."""

import http.client
import os
import sys
from urllib.parse import urlsplit

site = urlsplit(os.environ.get("POSEBOARD_URL", "http://127.0.0.1:8000"))
connection = http.client.HTTPConnection("127.0.0.1", 8000, timeout=4)
try:
    # the host must be an allowed one, and https must not be redirected to
    connection.request("GET", "/healthz", headers={"Host": site.hostname or "", "X-Forwarded-Proto": site.scheme})
    status = connection.getresponse().status
except OSError as error:
    sys.exit(f"no response: {error}")
sys.exit(0 if status == 200 else f"status {status}")
