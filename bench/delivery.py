"""The parts `delivery` and `pulling` of `bench/run`: what messages and bouncers take, and what they cost detection."""

import http.client
import http.server
import json
import pathlib
import shutil
import socketserver
import statistics
import tempfile
import threading
import time

from bouncers import imported, opened
from conduct import Failed, Server, load
from gateway import made
import conduct

# How many alerts a second are raised, and how many of them are in one request.
ALERTS_PER_SECOND = 200
AT_ONCE = 10
# How many messages wait in the outbox when the sink is opened.
BACKLOG = 50_000
BOUNCERS = 30

RULE = """
title: A request for one place
name: bench-one
status: test
logsource: {category: webserver}
detection:
    path: {cs-uri-stem|startswith: /attacked}
    condition: path
level: high
"""


class Sink(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Takes webhooks: notes when each came, by the address that it tells of; or hangs."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hangs=False):
        sink = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                if hangs:
                    time.sleep(3600)
                sink.count += 1
                at = body.find(b'"client_ip":"')
                if at >= 0:
                    sink.came.setdefault(body[at + 13:at + 40].split(b'"')[0].decode(), time.time())
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

            def log_message(self, *_):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.came, self.count = {}, 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def section(self, name, **more):
        """Returns the section of the configuration that leads here."""
        keys = "".join(f"{key} = {json.dumps(value)}\n" for key, value in more.items())
        return (f'[notify.{name}]\ntype = "webhook"\nurl = "http://127.0.0.1:{self.server_port}/"\n'
                f'min_severity = "informational"\nrepeat = "0s"\n{keys}')


def raised(folder, sections, seconds, sink):
    """Raises alerts at the rate; returns how long each took to the sink, in ms, and the processor time an event of detection."""
    rules = made(folder / "rules")
    (rules / "one.yml").write_text(RULE.lstrip())
    path = folder / "delivery.toml"
    path.write_text(f'[rules]\nfolders = ["{rules}"]\nshipped = false\n{sections}')
    sent, count = {}, ALERTS_PER_SECOND * seconds
    with Server("--config", str(path)) as server:
        before, began = server.processor(), time.time()
        connection = http.client.HTTPConnection(server.address, timeout=30)
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        for number in range(0, count, AT_ONCE):
            time.sleep(max(0, began + number / ALERTS_PER_SECOND - time.time()))
            clients = [f"11.{it >> 16}.{it >> 8 & 255}.{it & 255}" for it in range(number, number + AT_ONCE)]
            body = json.dumps([{"client_ip": it, "path": "/attacked", "method": "GET", "status_code": 200,
                                "logsource": {"category": "webserver"}} for it in clients])
            sent.update(dict.fromkeys(clients, time.time()))
            connection.request("POST", "/v1/events", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 202:
                raise Failed(f"{answer.status} {text[:200]!r}")
        end = time.time() + 30
        while len(sink.came) < count and time.time() < end:
            time.sleep(0.05)
        used = server.processor()
    times = sorted(1000 * (sink.came[it] - sent[it]) for it in sent if it in sink.came)
    if len(times) < count:
        raise Failed(f"{len(times)} of {count} messages came")
    detect = 1e6 * (used.get("detect", 0) - before.get("detect", 0)) / count
    return times, detect


def p99(times):
    return times[int(0.99 * (len(times) - 1))]


def drained(kind):
    """Fills the outbox while nothing can be sent, and returns how many messages a second leave it afterwards."""
    folder = pathlib.Path(tempfile.mkdtemp(dir=made(conduct.FOLDER)))
    sink = Sink() if kind == "webhook" else None
    target = folder / "there" / "sink.ndjson"
    try:
        section = sink.section("sink", decisions=True) if sink else (
            f'[notify.sink]\ntype = "file"\npath = "{target}"\nmin_severity = "informational"\nrepeat = "0s"\ndecisions = true\n')
        path = folder / "drained.toml"
        path.write_text(f"[outbox]\nwaiting = 1000000\n{section}")
        with Server("--config", str(path)) as server:
            if not sink:
                made(target.parent)
            before, began = server.processor(), time.perf_counter()
            imported(server, 0, BACKLOG)
            filled = time.perf_counter() - began
            end = time.time() + 120
            while server.metric("bartizan_notify_delivered_total") < BACKLOG and time.time() < end:
                time.sleep(0.02)
            took, used = time.perf_counter() - began, server.processor()
            delivered = server.metric("bartizan_notify_delivered_total")
        processor = 1e6 * sum(used[it] - before.get(it, 0) for it in used) / max(delivered, 1)
        return delivered / took, filled, processor
    finally:
        shutil.rmtree(folder)


def delivery(settings):
    """Alerts to a webhook at 200/s, the same beside a destination that hangs, and a full outbox that empties."""
    seconds, raw = 5 * settings.seconds, {}
    for name in ("alone", "beside one that hangs"):
        folder = pathlib.Path(tempfile.mkdtemp(dir=made(conduct.FOLDER)))
        try:
            sink, dead = Sink(), Sink(hangs=True)
            sections = sink.section("good") + (dead.section("dead") if name != "alone" else "")
            raw[name] = raised(folder, sections, seconds, sink)
        finally:
            shutil.rmtree(folder)
    (times, alone), (beside_times, beside) = raw["alone"], raw["beside one that hangs"]
    sinks = {kind: drained(kind) for kind in ("file", "webhook")}
    slower, dearer = p99(beside_times) / p99(times), beside / max(alone, 0.01)
    return [
        ("alerts a second", ALERTS_PER_SECOND, "/s", "", None),
        ("event sent to webhook received: p50", statistics.median(times), "ms", "< 50", statistics.median(times) < 50),
        ("event sent to webhook received: p99", p99(times), "ms", "< 250", p99(times) < 250),
        ("the same beside one that hangs: p99", p99(beside_times), "ms", "+ <= 5 %", slower <= 1.05),
        ("processor time of detection an event", alone, "us", "", None),
        ("the same beside one that hangs", beside, "us", "+ <= 5 %", dearer <= 1.05),
        ("outbox to a file, with filling it", sinks["file"][0], "/s", ">= 10,000", sinks["file"][0] >= 10_000),
        ("filling it with as many decisions", sinks["file"][1], "s", "", None),
        ("processor time a message, decided and sent", sinks["file"][2], "us", "", None),
        ("outbox to a webhook, with filling it", sinks["webhook"][0], "/s", "", None),
    ], {"alone": times, "beside": beside_times, "sinks": sinks}


def pulling(settings):
    """The processor time of an event, with nobody and with 30 bouncers that ask every second."""
    used = {}
    for count in (0, BOUNCERS):
        with Server() as server:
            key, address = opened(server)
            imported(server, 0, 10_000)
            is_over = threading.Event()
            pullers = [threading.Thread(target=pull, args=(key, address, is_over), daemon=True) for _ in range(count)]
            for it in pullers:
                it.start()
            time.sleep(2)
            before = sum(server.processor().values())
            seconds = 5 * settings.seconds
            sent = load("singles", to=server.address, key=server.key, connections=32, rate=2000, seconds=seconds)
            events = sent["per_second"] * seconds
            used[count] = 1e6 * (sum(server.processor().values()) - before) / events
            is_over.set()
    ratio = used[BOUNCERS] / used[0]
    return [
        ("processor time an event, nobody pulls", used[0], "us", "", None),
        (f"the same with {BOUNCERS} that ask every second", used[BOUNCERS], "us", "+ < 2 %", ratio < 1.02),
    ], {str(count): it for count, it in used.items()}


def pull(key, address, is_over):
    """Asks every second what changed, as a stock bouncer does, each with a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=30)
    path = "/v1/decisions/stream?startup=true"
    while not is_over.is_set():
        connection.request("GET", path, headers={"X-Api-Key": key, "User-Agent": "crowdsec-firewall-bouncer/bench"})
        connection.getresponse().read()
        path = "/v1/decisions/stream"
        is_over.wait(1)


