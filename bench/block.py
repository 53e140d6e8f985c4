"""The part `block` of `bench/run`: how long after the request that crosses a rate its client meets the first 403."""

import http.client
import json
import pathlib
import shutil
import statistics
import tempfile
import time

from conduct import Failed, Server, bare
from gateway import PAGE, address_of, made
import conduct

ATTACKS = 200
# How many requests the rule lets pass, and how long one attack may take until it is blocked.
PASSING = 5
SECONDS_MAX = 10

RULE = """
title: Many requests for one place
name: bench-many-base
status: test
logsource: {category: webserver}
detection:
    path: {cs-uri-stem|startswith: /attacked}
    condition: path
level: informational
---
title: Many requests for one place by one client
name: bench-many
status: test
correlation:
    type: event_count
    rules: [bench-many-base]
    group-by: [c-ip]
    timespan: 60s
    condition: {gte: 5}
level: high
"""


def block(settings):
    """Attacks one after another through a gateway in live mode."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=made(conduct.FOLDER)))
    attacks = ATTACKS // 4 if settings.runs < 5 else ATTACKS
    try:
        rules = made(folder / "rules")
        (rules / "many.yml").write_text(RULE.lstrip())
        with bare(PAGE, "text/html", folder) as site:
            path = folder / "block.toml"
            path.write_text(
                f'[gateway]\nlisten = "127.0.0.1:0"\nupstream = ["http://{site.address}"]\n'
                'trusted_proxies = ["127.0.0.1"]\n'
                '[decisions]\nper_minute = 100000\nshare_min = 100000\n'
                f'[rules]\nfolders = ["{rules}"]\n'
            )
            with Server("--config", str(path)) as server:
                switched(server)
                times = [attacked(address_of(server), number) for number in range(attacks)]
    finally:
        shutil.rmtree(folder)
    times.sort()
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))] * 1000
    return [
        ("attacks", len(times), "", "", None),
        ("first byte of the fifth request to the first 403: p50", statistics.median(times) * 1000, "ms", "", None),
        ("the same: p99", p99, "ms", "< 1,000", p99 < 1000),
        ("the same: most", times[-1] * 1000, "ms", "", None),
    ], {"seconds": times}


def switched(server):
    """Has decisions of rules enforced."""
    connection = http.client.HTTPConnection(server.address, timeout=10)
    headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
    connection.request("POST", "/v1/decisions/switches", json.dumps({"mode": "live"}), headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise Failed(f"the server does not go live: {answer.read()!r}")
    answer.read()


def attacked(gateway, number):
    """Attacks as a client of its own; returns how long the fifth request went ahead of the first 403, in seconds."""
    client = f"11.{number // 250}.{number % 250}.7"
    connection = http.client.HTTPConnection(gateway, timeout=10)
    headers = {"X-Forwarded-For": client, "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:105.0) Firefox/105.0"}

    def status(path):
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    for _ in range(PASSING - 1):
        if status("/attacked") != 200:
            raise Failed(f"{client} is blocked before it attacks")
    began = time.perf_counter()
    status("/attacked")
    while time.perf_counter() - began < SECONDS_MAX:
        if status("/") == 403:
            return time.perf_counter() - began
    raise Failed(f"{client} is not blocked within {SECONDS_MAX} s")
