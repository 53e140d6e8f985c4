"""The part `attack` of `bench/run`: what HTTP inspection finds of labelled requests, what it costs, and how that grows."""

import base64
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import tempfile

from conduct import Failed, access_log, spread
import conduct
import modsecurity

# By the name of the set: attacks found at least, legitimate requests taken for one at most, in percent.
PROMISES = {"blazehttp": (80, 0.2), "openappsec": (99.5, 0.5), "gotestwaf": (75, 3), "httpparams": (99.3, 0)}
BODY_BYTES = 1 << 20
# Of a text that is no form and no document so much is read.
TEXT_BYTES = 256 << 10
# What attackers repeat to make a reader slow.
UNITS = ["<", "'", '"', "`", "(", ")", "[", "]", "{", "}", "&", "\\", "/", "#", "$", "|", ";", "\n", "%25", "*/", "/*", "--",
         "'||", "(|", "&&", "../", "<a", "<a ", "<a b=", "<svg onload", "select(", "(select ", "select 1;", "1 or ", "char(1)||",
         "${", "{{", "${env:", "alert(", "window[", "document[ ", "<style>", "$(", "() {", "a=b&", "&lt;", "\\x", "%c0%ae", "://",
         "a", "1", "on", "{\"a\":", "[1,", "YWFhYWFhPGE+", "\"YWFhYWFhPGE+", "<![CDATA["]
HOSTILE_BYTES = (16 << 10, 64 << 10)
# Four times the length may take four times as long, and what a busy machine adds.
GROWTH_MAX = 8


def attack(settings):
    """HTTP inspection of labelled requests, of bodies, and of what is made to be slow."""
    folder = scratch()
    try:
        figures, raw = [], {}
        for path in sets():
            told = [inspect(path) for _ in range(min(settings.runs, 3))]
            raw[path.name] = told
            figures += of_set(path.name.split(".")[0], told)
        figures += of_log(folder, raw)
        figures += of_bodies(folder, raw)
        figures += of_hostile(folder, raw)
        figures += modsecurity.figures(sets())
    finally:
        shutil.rmtree(folder)
    return figures, raw


def sets():
    """Returns the files of labelled requests in `BARTIZAN_DATA/http`."""
    shared = os.environ.get("BARTIZAN_DATA")
    found = sorted(pathlib.Path(shared).glob("http/*.jsonl.xz")) if shared else []
    if not found:
        print("  no labelled requests (set BARTIZAN_DATA): cost and growth are measured with made ones")
    return found


def inspect(path):
    """Returns what `bartizan inspect --requests` says of a file, with the rules of `BARTIZAN_CRS` for requests that name some."""
    words = [str(conduct.BINARY), "inspect", "--output", "json", "--requests", str(path)]
    crs = os.environ.get("BARTIZAN_CRS")
    if crs and "crs" in pathlib.Path(path).name:
        words += ["--crs", crs]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(done.stderr[-500:])
    return json.loads(done.stdout)["files"][0]


def cost(told, name):
    return spread([it["ns"][name] / 1e3 for it in told])


def of_set(name, told):
    """Makes the figures of one set: found, false alarms, the gap between folds, cost."""
    first, figures = told[0], []
    least, most = PROMISES.get(name, (None, None))
    for kind, hits, all_, promise in (("found", "found", "attacks", least), ("false alarms", "false_alarms", "legitimate", most)):
        if first[all_] == 0:
            continue
        share = 100 * first[hits] / first[all_]
        is_met = None if promise is None else share >= promise if kind == "found" else share <= promise
        folds = first["folds"][f"{hits}_percent"]
        figures += [(f"{name}: {kind}, of {first[all_]:,}", share, "%", "" if promise is None else
                     f"{'>=' if kind == 'found' else '<='} {promise}", is_met),
                    (f"{name}: {kind}, gap of folds", max(folds) - min(folds), "%", "", None)]
    limits = (30, 80, 1000) if name == "blazehttp" else (None,) * 3
    for word, limit in zip(("p50", "mean", "p99"), limits):
        value = cost(told, word)
        is_met = None if limit is None else value["median"] <= limit
        figures.append((f"{name}: a request, {word}", value, "us", "" if limit is None else f"<= {limit}", is_met))
    return figures


def of_log(folder, raw):
    """Inspects what an access log has of each request; lines that are legitimate as far as anybody knows."""
    path, what = access_log(folder)
    line = re.compile(r'"(\S+) (\S+) (HTTP/[\d.]+)" \d+ \S+ "([^"]*)" "([^"]*)"')
    samples = []
    for number, text in enumerate(path.read_text("latin-1").splitlines()[:20_000]):
        found = line.search(text)
        if found:
            method, uri, version, referer, agent = found.groups()
            headers = [["Referer", referer], ["User-Agent", agent]]
            samples.append(sample(number, 0, method=method, uri=uri, version=version, headers=headers))
    told = [inspect(write(folder / "log.jsonl", samples)) for _ in range(3)]
    raw["log"] = told
    share = 100 * told[0]["false_alarms"] / max(1, told[0]["legitimate"])
    print(f"  log records of {what}")
    mean, late = cost(told, "mean"), cost(told, "p99")
    return [("log records taken for attacks", share, "%", "<= 0.1", share <= 0.1),
            ("a log record, mean", mean, "us", "<= 2", mean["median"] <= 2),
            ("a log record, p99", late, "us", "<= 20", late["median"] <= 20)]


def of_bodies(folder, raw):
    """Inspects bodies without anything in them."""
    made = random.Random(4)
    words = "the of and to in is it was for on are as with his they at be this from have or by one had not".split()
    text = lambda length: " ".join(made.choice(words) for _ in range(length // 3))[:length]
    documents = {
        "JSON": ("application/json", json.dumps([{"id": it, "name": text(40), "note": text(200), "tags": ["a", "b"]}
                                                 for it in range(BODY_BYTES // 330)]).encode()),
        "form": ("application/x-www-form-urlencoded",
                 "&".join(f"field{it}={text(60).replace(' ', '+')}" for it in range(BODY_BYTES // 71)).encode()),
        "text": ("text/plain", text(TEXT_BYTES).encode()),
    }
    figures = []
    for name, (kind, body) in documents.items():
        samples = [sample(it, 0, method="POST", headers=[["Content-Type", kind]], body=body) for it in range(8)]
        told = [inspect(write(folder / "bodies.jsonl", samples)) for _ in range(3)]
        raw[f"body {name}"] = told
        rate = spread([len(body) / it["ns"]["p50"] * 1e3 for it in told])
        figures.append((f"clean {name} of {len(body) / 1024:.0f} KiB", rate, "MB/s", ">= 100", rate["median"] >= 100))
    return figures


def of_hostile(folder, raw):
    """Inspects one unit again and again, at one length and at four times of it, in an address, a form and a text."""
    worst, growth = (0, ""), (0, "")
    kinds = {"form": "application/x-www-form-urlencoded", "text": "text/plain", "XML": "text/xml", "JSON": "application/json"}
    for place, kind in kinds.items():
        for unit in UNITS:
            times = []
            for length in HOSTILE_BYTES:
                body = (unit * (length // len(unit) + 1))[:length]
                body = json.dumps({"a": "1 " + body}) if place == "JSON" else f"a=1{body}" if place == "form" else f"1 {body}"
                samples = [sample(it, 1, method="POST", headers=[["Content-Type", kind]], body=body.encode()) for it in range(3)]
                path = write(folder / "hostile.jsonl", samples)
                # The better of two: on a busy machine one of them waits for the processor.
                times.append(min(inspect(path)["ns"]["p50"] for _ in range(2)))
            shown = f"{unit!r} in {place}"
            raw[f"hostile {shown}"] = times
            worst = max(worst, (times[1] / HOSTILE_BYTES[1], shown))
            # What takes less than a fifth of a millisecond is too short to say how it grows.
            growth = max(growth, (times[1] / max(times[0], 50_000), shown))
    arguments = "&".join(f"a{it}='{it}" for it in range(20_000)).encode()
    deep = b"[" * 60 + b'"x",' * 100_000
    for name, kind, body in (("20,000 arguments", kinds["form"], arguments), ("long JSON", kinds["JSON"], deep)):
        path = write(folder / "hostile.jsonl", [sample(it, 1, method="POST", headers=[["Content-Type", kind]], body=body)
                                                for it in range(3)])
        worst = max(worst, (inspect(path)["ns"]["p50"] / len(body), name))
    return [(f"hostile, slowest: {worst[1]}", 1e3 / worst[0], "MB/s", "", None),
            (f"hostile, four times as long: {growth[1]}", growth[0], "times", f"<= {GROWTH_MAX}", growth[0] <= GROWTH_MAX)]


def sample(number, label, method="GET", uri="/", version="HTTP/1.1", headers=(), body=b""):
    """Makes a labelled request."""
    return {"id": str(number), "label": label, "cat": "", "method": method, "uri": uri, "proto": version,
            "headers": [["Host", "www.example.com"], *headers], "body": base64.b64encode(body).decode(),
            "expect": [], "noexpect": []}


def write(path, samples):
    """Writes labelled requests to a file; returns its path."""
    path.write_text("".join(json.dumps(it, ensure_ascii=False) + "\n" for it in samples))
    return path



def scratch():
    """Returns a new folder on the file system that is measured."""
    conduct.FOLDER.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(tempfile.mkdtemp(dir=conduct.FOLDER))
