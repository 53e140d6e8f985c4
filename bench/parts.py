"""The parts of `bench/run`: each returns its figures, and what they were made from.

A figure is (name, value or spread, unit, target in words, whether it is met; None where nothing is promised).
"""

import json
import pathlib
import re
import resource
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import threading
import time

from attack import attack
from block import block
from bouncers import bouncers
from delivery import delivery, pulling
from enforced import enforced
from conduct import Failed, Server, access_log, bare, disk, load, processor_figures, spread
from gateway import gateway
import conduct

LOGS_ANSWER = b'{"status":"success","message":"Log received and queued."}'
MIB = 1 << 20


class Settings:
    """How long and how often."""

    def __init__(self, is_quick, minutes):
        self.runs = 2 if is_quick else 5
        self.seconds = 1 if is_quick else 3
        self.ndjson_events = 500_000 if is_quick else 1_500_000
        self.headline_seconds = 5 if is_quick else 20
        self.addresses = 2_000_000 if is_quick else 10_000_000
        self.scan_bytes = 200_000_000 if is_quick else 1_000_000_000
        self.flood_seconds = 15 if is_quick else 60
        self.soak_seconds = 20 if is_quick else (minutes or 2) * 60


def median_of(reports, name):
    return spread([it[name] for it in reports])


def logs(settings):
    """POST /logs, one event a request, against a bare handler on the same HTTP stack."""
    figures, raw = [], {"disk": []}
    with Server() as server, bare(LOGS_ANSWER, "application/json", server.folder) as handler:
        for connections in (32, 256):
            ours, theirs, before = [], [], [server.processor(), handler.processor()]
            for _ in range(settings.runs):
                ours.append(load("singles", to=server.address, key=server.key, connections=connections,
                                 seconds=settings.seconds))
                theirs.append(load("singles", to=handler.address, key=server.key, connections=connections,
                                   seconds=settings.seconds))
                raw["disk"].append(disk(server.folder, 0.5))
            used = [*before, server.processor(), handler.processor()]
            # At the most that goes, 256 connections wait for one another; so the wait is measured at half of it, too.
            half = 0.5 * median_of(ours, "per_second")["median"]
            calm = load("singles", to=server.address, key=server.key, connections=connections, rate=half,
                        seconds=settings.seconds)
            raw[connections] = {"ours": ours, "bare": theirs, "half": calm, "processor": used}
        sync, sync_p99 = median_of(raw["disk"], "p50_ms"), median_of(raw["disk"], "p99_ms")
        figures += [("fdatasync, median", sync, "ms", "", None), ("fdatasync, p99", sync_p99, "ms", "", None)]
        for connections in (32, 256):
            ours, theirs = raw[connections]["ours"], raw[connections]["bare"]
            rate, bare_rate = median_of(ours, "per_second"), median_of(theirs, "per_second")
            # Of the medians the least: on a busy machine a sync also waits for the processor, and that flatters us.
            bound = min(bare_rate["median"], connections / (1.5 * sync["min"] / 1e3))
            late, late_max = median_of(ours, "p99_ms"), 2 * sync_p99["median"] + 3
            refused = sum(it["refused"] for it in ours)
            ratio = rate["median"] / bound
            figures += [
                (f"{connections} connections: requests", rate, "/s", "", None),
                (f"{connections} connections: bare handler", bare_rate, "/s", "", None),
                (f"{connections} connections: of min(bare, disk)", 100 * ratio, "%", ">= 75", ratio >= 0.75),
                (f"{connections} connections: p99", late, "ms", f"<= {late_max:.2f}", late["median"] <= late_max),
                (f"{connections} connections: p99 at half of the rate", raw[connections]["half"]["p99_ms"], "ms",
                 f"(<= {late_max:.2f})", None),
                (f"{connections} connections: p99 of the bare handler", median_of(theirs, "p99_ms"), "ms", "", None),
                *processor_of(raw[connections]["processor"], settings, rate["median"], bare_rate["median"]),
                (f"{connections} connections: refused", refused, "requests", "0", refused == 0),
            ]
    return figures, raw


def processor_of(used, settings, rate, bare_rate):
    """Returns the processor time of a request, ours and the bare handler's; a run warms up for half a second."""
    seconds = (settings.seconds + 0.5) * settings.runs
    handler = sum(used[3].values()) - sum(used[1].values())
    return processor_figures(used[0], used[2], rate * seconds, "a request, about") + [
        ("processor time a request, about: bare handler", 1e6 * handler / (bare_rate * seconds), "us", "", None)]


def ndjson(settings):
    """NDJSON end to end: durable, detected on with the shipped rules, alerts stored."""
    reports, folder = [], scratch()
    try:
        log, what = access_log(folder)
        for _ in range(settings.runs):
            with Server() as server:
                sent = load("batches", to=server.address, key=server.key, shape="access", log=log,
                            events=settings.ndjson_events)
                done = server.wait_detected(settings.ndjson_events)
                sent["end_to_end"] = settings.ndjson_events / (done - sent["began"])
                sent["behind_s"] = done - sent["acknowledged"]
                sent["alerts"] = server.metric("bartizan_alerts_total")
                sent["resident_max"], sent["processor"] = server.memory()[1], server.processor()
                reports.append(sent)
    finally:
        shutil.rmtree(folder)
    print(f"  events of {what}")
    rate = median_of(reports, "end_to_end")
    memory = spread([it["resident_max"] / MIB for it in reports])
    return [
        ("end to end", rate, "events/s", ">= 300,000", rate["median"] >= 300_000),
        ("acknowledged", median_of(reports, "per_second"), "events/s", "", None),
        ("bytes an event", reports[0]["bytes"] / reports[0]["events"], "B", "", None),
        ("from the last acknowledgement to lag 0", median_of(reports, "behind_s"), "s", "", None),
        ("batches put off with 503", median_of(reports, "put_off"), "", "", None),
        ("alerts", median_of(reports, "alerts"), "", "", None),
        *processor_figures({}, reports[-1]["processor"], settings.ndjson_events, "an event"),
        ("resident at most", memory, "MiB", "< 400 MB", memory["max"] * MIB < 400e6),
    ], reports


def scan(settings):
    """`bartizan scan` of an access log repeated with times and addresses shifted."""
    folder, reports = scratch(), []
    try:
        log, what = access_log(folder)
        large = folder / "large.log"
        made = load("log", log=log, output=large, bytes=settings.scan_bytes)
        for _ in range(settings.runs):
            words = [str(conduct.BINARY), "scan", "--output", "json", str(large)]
            began, before = time.time(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(words, capture_output=True, text=True)
            seconds, after = time.time() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            if done.returncode != 0:
                raise Failed(done.stderr[-500:])
            report = json.loads(done.stdout)
            reports.append({"events": report["events"], "seconds": seconds, "alerts": len(report["alerts"]),
                            "quarantined": report["quarantined"], "mb_per_second": made["bytes"] / seconds / 1e6,
                            "processor_us": 1e6 * used / made["lines"]})
    finally:
        shutil.rmtree(folder)
    print(f"  {made['bytes'] / 1e6:,.0f} MB, {made['lines']:,.0f} lines of {what}")
    rate, complete = median_of(reports, "mb_per_second"), all(it["events"] + it["quarantined"] == made["lines"] for it in reports)
    return [
        ("read and detected on", rate, "MB/s", ">= 300", rate["median"] >= 300),
        ("events", spread([it["events"] / it["seconds"] for it in reports]), "events/s", "", None),
        ("processor time an event: all", median_of(reports, "processor_us"), "us", "", None),
        ("every line read or quarantined", float(complete), "", "1", complete),
        ("alerts", median_of(reports, "alerts"), "", "", None),
    ], reports


def keys(settings):
    """Millions of distinct addresses inside one window, 1,000 of them brute forcers spread evenly."""
    return distinct(settings, "keys")


def network(settings):
    """The same, and all but the brute forcers are of one IPv6 /64."""
    return distinct(settings, "network")


def distinct(settings, shape):
    """Sends the addresses of a shape, and counts the brute forcers that were found."""
    with Server() as server:
        idle, _ = server.memory()
        events = settings.addresses + 4_000
        sent = load("batches", to=server.address, key=server.key, shape=shape, events=events)
        done = server.wait_detected(events)
        found = [it for it in server.alerts(type="bruteforce") if it["entity"]["value"].startswith("203.0.")]
        other = server.metric("bartizan_alerts_total") - len(found)
        evicted, most = server.metric("bartizan_evicted_keys_total"), server.memory()[1]
        late, used = server.metric("bartizan_late_events_total"), server.processor()
    forcers = len({it["entity"]["value"] for it in found})
    raw = dict(sent, found=forcers, evicted=evicted, resident_max=most, idle=idle, late=late)
    return [
        ("distinct addresses", settings.addresses, "", "", None),
        ("brute forcers found", forcers, "of 1,000", "1,000", forcers == 1_000),
        ("other alerts", other, "", "", None),
        ("resident at most", most / MIB, "MiB", "< 600 MB", most < 600e6),
        ("keys given up, counted", evicted, "", "", None),
        ("events too late", late, "", "0", late == 0),
        ("end to end", events / (done - sent["began"]), "events/s", "", None),
        *processor_figures({}, used, events, "an event"),
    ], raw


def flood(settings):
    """100,000 matches a second on one rule (`bruteforce`), of 3,000 addresses: how many rows are stored a second."""
    rules = scratch()
    try:
        shutil.copy(conduct.ROOT / "rules" / "http" / "bruteforce.yml", rules)
        with Server("--no-shipped-rules", "--rules", str(rules)) as server:
            events = 100_000 * settings.flood_seconds
            rows = Rows(server.folder / "data")
            sent = load("batches", to=server.address, key=server.key, shape="flood", events=events, rate=100_000)
            done = server.wait_detected(events)
            rows.stop()
            matches, raised = server.metric("bartizan_rule_matches_total"), server.metric("bartizan_alerts_total")
    finally:
        shutil.rmtree(rules)
    # New alerts do not wait, and are bounded by the minute; those that only grow are bounded by the second.
    seconds = done - sent["began"]
    grown = rows.written - rows.new
    return [
        ("events", sent["per_second"], "/s", "", None),
        ("matches", matches, "", "", None),
        ("alerts raised", raised, "", "", None),
        ("rows stored", rows.written / seconds, "/s", "< 100", rows.written / seconds < 100),
        ("  of alerts that grew", grown / seconds, "/s", "", None),
        ("  in the worst second", rows.worst(), "rows", "", None),
    ], dict(sent, rows=rows.written, new=rows.new, seconds=seconds)


class Rows:
    """Counts the alert rows that are written, by looking at the store ten times a second."""

    def __init__(self, data):
        found = [it for it in data.rglob("*") if it.is_file() and it.open("rb").read(15) == b"SQLite format 3"]
        if not found:
            raise Failed("there is no store in the data folder")
        self.path, self.seen, self.times, self.new = found[0], {}, [], 0
        self.going = True
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    @property
    def written(self):
        return len(self.times)

    def worst(self):
        """Returns the most rows that were written in any second."""
        return max((sum(1 for it in self.times if from_ <= it < from_ + 1) for from_ in set(self.times)), default=0)

    def stop(self):
        time.sleep(0.3)
        self.going = False
        self.thread.join()

    def _run(self):
        store = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=5)
        while self.going:
            now, newest = time.time(), max(self.seen.values(), default=-1)
            for alert, updated in store.execute("SELECT id, updated_at FROM stored_alerts WHERE ? <= updated_at", (newest,)):
                if self.seen.get(alert) != updated:
                    self.new += alert not in self.seen
                    self.seen[alert] = updated
                    self.times.append(now)
            time.sleep(0.1)


def memory(settings):
    """Resident memory: idle, and while batches come as fast as they are taken."""
    folder = scratch()
    try:
        log, _ = access_log(folder)
        with Server() as server:
            time.sleep(3)
            server.restart_memory()
            time.sleep(2)
            idle = server.memory()[1]
            load("batches", to=server.address, key=server.key, shape="access", log=log,
                 events=3 * settings.ndjson_events)
            load("singles", to=server.address, key=server.key, connections=256, seconds=settings.seconds)
            server.wait_detected(3 * settings.ndjson_events)
            most = server.memory()[1]
            time.sleep(2)
            after = server.memory()[0]
    finally:
        shutil.rmtree(folder)
    return [
        ("idle", idle / MIB, "MiB", "< 60 MB", idle < 60e6),
        ("full load, at most", most / MIB, "MiB", "< 400 MB", most < 400e6),
        ("two seconds after", after / MIB, "MiB", "", None),
    ], {"idle": idle, "most": most, "after": after}


def headline(settings):
    """From the sending of the event that completes an alert until a reader sees it and it is printed, under load."""
    figures, raw = [], {}
    with Server() as server:
        most = load("singles", to=server.address, key=server.key, connections=64, seconds=settings.seconds)
        figures.append(("single requests at most, 64 connections", most["per_second"], "/s", "", None))
        for first, (share, p50_max, p99_max) in enumerate([(0.5, 50, 500), (0.9, None, 1000)]):
            report = load("headline", to=server.address, key=server.key, connections=64,
                          rate=share * most["per_second"], seconds=settings.headline_seconds, first=first * 20_000)
            printed = {}
            for at, line in list(server.lines):
                found = re.search(r"^\[ALERT\] .* detected from IP: (\S+)$", line)
                if found:
                    printed.setdefault(found.group(1), at)
            waits = sorted(1e3 * (printed[it] - sent) for it, sent in report["sent"] if it in printed)
            raw[str(share)] = report
            name = f"at {100 * share:.0f} %"
            p50_met = None if p50_max is None else report["p50_ms"] <= p50_max
            figures += [
                (f"{name}: requests", report["per_second"], "/s", "", None),
                (f"{name}: attacks", report["attacks"], "", "", None),
                (f"{name}: seen after, p50", report["p50_ms"], "ms", f"<= {p50_max}" if p50_max else "", p50_met),
                (f"{name}: seen after, p99", report["p99_ms"], "ms", f"<= {p99_max}", report["p99_ms"] <= p99_max),
                (f"{name}: never seen", report["unseen"], "", "0", report["unseen"] == 0),
                (f"{name}: printed", len(waits), "", "all", len(waits) == report["attacks"]),
            ]
            if waits:
                p99 = waits[min(len(waits) - 1, int(0.99 * len(waits)))]
                figures += [(f"{name}: printed after, p50", statistics.median(waits), "ms", "", None),
                            (f"{name}: printed after, p99", p99, "ms", f"<= {p99_max}", p99 <= p99_max)]
    return figures, raw


def alerts(settings):
    """GET /alerts against a bare handler that returns the same bytes, both while 10,000 events/s come in."""
    ours, theirs, folder = [], [], scratch()
    try:
        log, _ = access_log(folder)
        with Server() as server:
            load("headline", to=server.address, key=server.key, connections=1, rate=100, seconds=1, probes=20)
            with bare(server.get("/alerts"), "application/json", folder) as handler:
                length = 2 * settings.runs * (settings.seconds + 1.5)
                stream = threading.Thread(target=load, daemon=True, args=("batches",), kwargs=dict(
                    to=server.address, key=server.key, shape="access", log=log, events=int(10_000 * length), rate=10_000,
                    batch=500))
                stream.start()
                for number in range(settings.runs):
                    ours.append(load("readers", to=server.address, key=server.key, path="/alerts", connections=32,
                                     seconds=settings.seconds, confirm=server.address, first=1_000 * (number + 1)))
                    theirs.append(load("readers", to=handler.address, key=server.key, path="/alerts", connections=32,
                                       seconds=settings.seconds, confirm=None))
                stream.join()
    finally:
        shutil.rmtree(folder)
    rate, bare_rate = median_of(ours, "per_second"), median_of(theirs, "per_second")
    ratio, stale = rate["median"] / bare_rate["median"], sum(it["stale"] for it in ours)
    return [
        ("answers", rate, "/s", "", None),
        ("bare handler", bare_rate, "/s", "", None),
        ("of the bare handler", 100 * ratio, "%", ">= 70", ratio >= 0.7),
        ("p99", median_of(ours, "p99_ms"), "ms", "", None),
        ("answers checked", sum(it["checked"] for it in ours), "", "", None),
        ("answers without the last confirmed alert", stale, "", "0", stale == 0),
    ], {"ours": ours, "bare": theirs}


def soak(settings):
    """Batches at 150,000 events/s: lag and memory stay flat."""
    folder, lags = scratch(), []
    events = int(150_000 * settings.soak_seconds)
    try:
        log, _ = access_log(folder)
        with Server() as server:
            result = {}
            send = lambda: result.update(load("batches", to=server.address, key=server.key, shape="access", log=log,
                                              events=events, rate=150_000))
            stream = threading.Thread(target=send, daemon=True)
            stream.start()
            began = time.time()
            while stream.is_alive():
                lags.append((time.time() - began, server.ledger()["lag_events"]))
                time.sleep(0.5)
            server.wait_detected(events)
            resident = [(at - began, size) for at, size in server.resident if at > began + settings.soak_seconds / 4]
    finally:
        shutil.rmtree(folder)
    if not result:
        raise Failed("the stream broke off")
    slope = statistics.linear_regression(*zip(*resident)).slope * 60 / MIB
    later = [lag for at, lag in lags if at > settings.soak_seconds / 4]
    growth = statistics.linear_regression(*zip(*[it for it in lags if it[0] > settings.soak_seconds / 4])).slope
    return [
        ("events", result["per_second"], "/s", ">= 149,000", result["per_second"] >= 149_000),
        ("lag, median", statistics.median(later), "events", "", None),
        ("lag, most", max(later), "events", "", None),
        ("lag, growth", growth, "events/s", "flat: < 500", growth < 500),
        ("resident at most", max(size for _, size in resident) / MIB, "MiB", "< 400 MB",
         max(size for _, size in resident) < 400e6),
        ("resident, growth after the first quarter", slope, "MiB/min", "flat: < 5", slope < 5),
    ], {"load": result, "lags": lags, "resident": resident}


def scratch():
    """Returns a new folder on the file system that is measured."""
    conduct.FOLDER.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(dir=conduct.FOLDER))


PARTS = {it.__name__: it for it in (
    logs, ndjson, scan, headline, alerts, keys, network, flood, memory, gateway, block, enforced, bouncers, delivery, pulling, soak, attack)}
