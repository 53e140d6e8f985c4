"""What every part of `bench/run` needs: a server of its own, the load generator, the machine, medians and spreads."""

import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
# Set once by `bench/run`.
BINARY = ROOT / "target" / "release" / "bartizan"
LOAD = ROOT / "target" / "bench-load" / "release" / "bartizan-load"
FOLDER = ROOT / "target" / "bench-data"

START_SECONDS_MAX = 10
STOP_SECONDS_MAX = 15
LOAD_SECONDS_MAX = 900
SAMPLE_SECONDS = 0.1


class Failed(Exception):
    """A part that cannot be measured; the others go on."""


def spread(values):
    """Returns median, least and greatest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def load(command, **settings):
    """Runs the load generator to its end; returns its report."""
    words = [str(LOAD), command]
    for name, value in settings.items():
        if value is not None:
            words += [f"--{name}", str(value)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=LOAD_SECONDS_MAX)
    if done.returncode != 0:
        raise Failed(done.stderr.strip())
    return json.loads(done.stdout)


class Listener:
    """A program that says on its first lines of stdout where it listens; its other lines are kept with their times."""

    def __init__(self, words, environment=None, log=None):
        stderr = open(log, "wb") if log else subprocess.DEVNULL
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environment)
        self.lines = []
        self.address = None
        self.is_ready = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        if not self.is_ready.wait(START_SECONDS_MAX) or self.address is None:
            self.process.kill()
            raise Failed(f"`{words[0]}` did not start: {pathlib.Path(log).read_text()[-500:] if log else ''}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append((time.time(), line.rstrip("\n")))
            found = re.search(r"listening on http://(\S+)", line)
            if found and self.address is None:
                self.address = found.group(1)
                self.is_ready.set()
        self.is_ready.set()

    def processor(self):
        """Returns the processor time used so far, in seconds, by the name of the threads that used it."""
        used = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                name, rest = (task / "stat").read_text().split("(", 1)[1].rsplit(")", 1)
            except OSError:
                continue  # The thread has ended.
            ticks = rest.split()[11:13]
            used[name] = used.get(name, 0) + sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        return used

    def stop(self):
        """Ends it; one that does not end is killed, which is a failure of the measurement's subject."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Server(Listener):
    """A server of its own on an empty data folder, which is removed afterwards."""

    def __init__(self, *options):
        FOLDER.mkdir(parents=True, exist_ok=True)
        self.folder = pathlib.Path(tempfile.mkdtemp(dir=FOLDER))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BARTIZAN_")}
        data = self.folder / "data"
        try:
            super().__init__([str(BINARY), "up", "--data", str(data), "--listen", "127.0.0.1:0", *options],
                             environment, self.folder / "stderr")
            self.key = (data / "admin.key").read_text().strip()
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        self.resident = []
        self._sampling = True
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def get(self, path):
        """Returns the body of an answer."""
        request = urllib.request.Request(f"http://{self.address}{path}", headers={"Authorization": f"Bearer {self.key}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def ledger(self):
        """Returns the totals of the ledger."""
        return json.loads(self.get("/v1/ledger"))["total"]

    def metric(self, name):
        """Returns the sum of a metric over its labels."""
        text = self.get("/metrics").decode()
        found = re.findall(rf"^{re.escape(name)}(?:\{{[^}}]*\}})? (\S+)$", text, re.M)
        return sum(float(it) for it in found)

    def alerts(self, **filters):
        """Returns all alerts that the filters leave, page after page."""
        items, cursor = [], None
        while True:
            parameters = dict(filters, limit=1000, **({"cursor": cursor} if cursor else {}))
            query = urllib.parse.urlencode(parameters)
            page = json.loads(self.get(f"/v1/alerts?{query}"))
            items += page["items"]
            cursor = page["next"]
            if not cursor:
                return items

    def wait_detected(self, events, seconds_max=120):
        """Waits until `events` are stored and none waits for detection; returns when it was so."""
        end = time.time() + seconds_max
        while time.time() < end:
            total = self.ledger()
            now = time.time()
            if total["stored"] >= events and total["lag_events"] == 0:
                return now
            time.sleep(0.005)
        raise Failed(f"{total['lag_events']} of {total['stored']} stored events still wait after {seconds_max} s")

    def restart_memory(self):
        """Begins the samples of memory anew."""
        self.resident = []

    def memory(self):
        """Returns resident memory in bytes: now, and the most of all samples."""
        now = self._resident()
        return now, max([now] + [bytes_now for _, bytes_now in self.resident])

    def _resident(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", text).group(1)) * 1024

    def _sample(self):
        while self._sampling and self.process.poll() is None:
            try:
                self.resident.append((time.time(), self._resident()))
            except (OSError, AttributeError):
                return
            time.sleep(SAMPLE_SECONDS)

    def stop(self):
        self._sampling = False
        self._sampler.join()
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def processor_figures(before, after, count, each):
    """Returns the processor time an event or request took, in microseconds, by thread: it is the same on a busy machine."""
    used = {name: 1e6 * (after[name] - before.get(name, 0)) / count for name in sorted(after)}
    figures = [(f"processor time {each}: all", sum(used.values()), "us", "", None)]
    return figures + [(f"processor time {each}: `{it}`", used[it], "us", "", None) for it in used if used[it] >= 0.05]


def bare(answer, kind, folder):
    """Starts the bare handler; it answers `answer`."""
    path = pathlib.Path(folder) / "answer"
    path.write_bytes(answer)
    return Listener([str(LOAD), "bare", "--listen", "127.0.0.1:0", "--answer", str(path), "--type", kind])


def disk(folder, seconds):
    """Measures a sync in a folder."""
    return load("disk", folder=folder, seconds=seconds)


def machine():
    """Returns what it was measured on."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+) kB", pathlib.Path("/proc/meminfo").read_text())
    files = subprocess.run(["stat", "-f", "-c", "%T", str(FOLDER)], capture_output=True, text=True).stdout.strip()
    commit = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": cpu.group(1) if cpu else platform.processor(),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1),
        "kernel": platform.release(),
        "file_system": files,
        "load_before": round(os.getloadavg()[0], 2),
        "commit": commit.stdout.strip(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def access_log(folder):
    """Returns the path of an access log, and what it is."""
    shared = os.environ.get("BARTIZAN_DATA")
    if shared:
        path = pathlib.Path(shared) / "web" / "apache_access.log"
        if path.is_file():
            return path, "the public sample apache_access.log"
    path = pathlib.Path(folder) / "access.log"
    load("log", output=path)
    return path, "a generated log (set BARTIZAN_DATA for the public sample)"
