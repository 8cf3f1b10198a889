"""How a board is read while others send slowly: `python -m benchmarks.slow_clients [--seconds 60] [--proxy]`.

Starts the web server as `manage.py serve` does, on data of its own and loopback only; with `--proxy`, Caddy before it,
by the shipped Caddyfile. For each kind of slow client, a board is read twenty times per second, each time on a new
connection, and the median, the 95th percentile and the failures are printed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
django.setup()

from tests.servers.slow_site import LOGIN, SUBMISSIONS, Readers, form_head, proxied, site, slow_clients, upload_head  # noqa: E402

HEAD = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--proxy", action="store_true")
    asked = parser.parse_args()
    failed = 0
    with ExitStack() as stacked:
        folder = Path(stacked.enter_context(tempfile.TemporaryDirectory()))
        running = stacked.enter_context(site(folder))
        port = stacked.enter_context(proxied(running, folder)) if asked.proxy else running.port
        kinds = {
            "nobody": (0, ""),
            "200 idle connections": (200, ""),
            "200 slow heads": (200, HEAD),
            "200 slow log-ins": (200, form_head(LOGIN)),
            "200 strangers at the API": (200, form_head(SUBMISSIONS)),
            "8 slow uploads": (8, upload_head(running, 60 << 20)),
            "60 slow uploads": (60, upload_head(running, 60 << 20)),
        }
        print(f"{'beside':26s} {'requests':>8s} {'median ms':>10s} {'p95 ms':>8s} {'failed':>7s}")
        for name, (count, head) in kinds.items():
            readers = Readers(port)
            # 2 KiB per second, above the rate at which the server gives up
            piece = b"" if not head else b"x" * 10 if head is HEAD else b"x" * 2048
            with slow_clients(port, count, lambda _, head=head: head, piece, again=True):
                readers.read(20 * asked.seconds)
            milliseconds = [1000 * each for each in (statistics.median(readers.seconds), readers.p95)]
            print(
                f"{name:26s} {len(readers.seconds):8d} {milliseconds[0]:10.1f} {milliseconds[1]:8.1f} "
                f"{len(readers.failed):7d}",
                flush=True,
            )
            failed += len(readers.failed) + (milliseconds[1] >= 1000)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
