"""The part `bouncers` of `bench/run`: what the API for bouncers takes while events come in."""

import http.client
import json
import threading
import time

from conduct import Failed, Server, load

DECISIONS = 100_000
LOOKUPS = 2000


def bouncers(settings):
    """Look-ups of single addresses and full streams of 100,000 decisions, with events at half of the maximum rate."""
    with Server() as server:
        key, address = opened(server)
        for begin in range(0, DECISIONS, 50_000):
            imported(server, begin, 50_000)
        before = server.resident[-1][1]
        quiet = streamed(key, address, settings.runs)
        grown = max(size for _, size in server.resident) - before
        most = load("singles", to=server.address, key=server.key, connections=32, seconds=settings.seconds)["per_second"]
        result, seconds = {}, 3 * settings.seconds
        send = lambda: result.update(load("singles", to=server.address, key=server.key, connections=32,
                                          rate=0.5 * most, seconds=seconds))
        events = threading.Thread(target=send, daemon=True)
        events.start()
        times = looked_up(key, address, events)
        events.join()
    p99 = times[int(0.99 * (len(times) - 1))] * 1000
    return [
        ("decisions in force", DECISIONS, "", "", None),
        ("a full stream of them, the slowest", max(quiet) * 1000, "ms", "< 500", max(quiet) < 0.5),
        ("resident, growth by the streams", grown / (1 << 20), "MiB", "flat: < 32", grown < 32 << 20),
        ("events, half of the maximum", 0.5 * most, "/s", "", None),
        ("look-ups beside them", len(times), "", "", None),
        ("GET /v1/decisions?ip=: p50", times[len(times) // 2] * 1000, "ms", "", None),
        ("GET /v1/decisions?ip=: p99", p99, "ms", "< 5", p99 < 5),
    ], {"streams": quiet, "lookups": times, "load": result}


def asked(address, method, path, key, body=None, by="Authorization"):
    """Returns the answer's body; fails unless it is a success."""
    connection = http.client.HTTPConnection(address, timeout=120)
    headers = {by: f"Bearer {key}" if by == "Authorization" else key, "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    if not 200 <= answer.status < 300:
        raise Failed(f"{method} {path}: {answer.status} {text[:200]!r}")
    return text


def opened(server):
    """Makes a key for a bouncer, which opens their API; returns the key and where that is."""
    made = json.loads(asked(server.address, "POST", "/v1/keys", server.key,
                            json.dumps({"name": "bench", "scope": "bouncer"})))
    end = time.time() + 10
    while time.time() < end:
        try:
            asked("127.0.0.1:7071", "GET", "/v1/decisions?ip=203.0.113.1", made["key"], by="X-Api-Key")
            return made["key"], "127.0.0.1:7071"
        except OSError:
            time.sleep(0.1)
    raise Failed("the API for bouncers does not open")


def imported(server, begin, count):
    """Imports bans of addresses."""
    items = [{"ip": f"11.{it >> 16}.{it >> 8 & 255}.{it & 255}", "reason": "bench"} for it in range(begin, begin + count)]
    asked(server.address, "POST", "/v1/decisions/import", server.key, json.dumps({"items": items}))


def streamed(key, address, runs):
    """Returns how long full streams took, in seconds."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        body = asked(address, "GET", "/v1/decisions/stream?startup=true", key, by="X-Api-Key")
        times.append(time.perf_counter() - began)
        if len(json.loads(body)["new"]) != DECISIONS:
            raise Failed("the stream does not have every decision")
    return times


def looked_up(key, address, events):
    """Looks addresses up on one connection as long as events come in; returns the times, the shortest first."""
    connection = http.client.HTTPConnection(address, timeout=10)
    times = []
    while events.is_alive() or len(times) < LOOKUPS // 10:
        number = len(times)
        began = time.perf_counter()
        connection.request("GET", f"/v1/decisions?ip=11.0.{number >> 8 & 255}.{number & 255}", headers={"X-Api-Key": key})
        answer = connection.getresponse()
        body = answer.read()
        times.append(time.perf_counter() - began)
        if answer.status != 200 or not body.startswith(b"[{"):
            raise Failed(f"{answer.status} {body[:200]!r}")
        time.sleep(0.002)
    return sorted(times)
