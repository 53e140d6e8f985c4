"""More of the part `gateway`: nginx with libmodsecurity, what the gateway adds at half load, and a flood from a million addresses.

Each needs a program of the system: the module of nginx with the Core Rule Set, `h2load`, `wrk`. What is missing is said.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import modsecurity
from conduct import Failed

MODULES = ["/usr/lib/nginx/modules/ngx_http_modsecurity_module.so", "/usr/share/nginx/modules/ngx_http_modsecurity_module.so"]
CONNECTIONS = 8
FLOOD_ADDRESSES = 1_000_000
# What the memory may grow by over the last three quarters of the flood.
FLOOD_GROWTH_MAX = 0.10

FLOOD = """
local number = 0
local first = 0
function setup(thread)
    thread:set("first", first)
    first = first + 1
end
function request()
    number = number + 1
    local at = (number * 2 + first) % {addresses}
    local address = string.format("10.%d.%d.%d", math.floor(at / 65536) % 256, math.floor(at / 256) % 256, at % 256)
    return wrk.format("GET", "{path}", {{["X-Forwarded-For"] = address, ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64)"}})
end
"""

# Pages, queries and sessions that differ: a memory of what was clean before meets few of them again. Each is counted through
# by another prime, so that they come together anew.
VARIED = """
local number = 0
local agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
function setup(thread)
    first = (first or 0) + 1
    thread:set("first", first * 7919)
end
function request()
    number = number + 1
    local at = number + first
    local path = string.format("/shop/articles/%d?page=%d&sort=price&q=red+shoes+%d", at % 4999, at % 97, at % 20011)
    local cookie = string.format("session=%08x%08x; seen=%d", at * 2654435761 % 4294967296, at % 30011, at % 101)
    return wrk.format("GET", path, {["User-Agent"] = agent, ["Cookie"] = cookie, ["Accept"] = "text/html,*/*;q=0.8"})
end
"""


def varied(address, connections, seconds):
    """Sends GETs that differ in path, query and cookie; returns a report as the load generator has it."""
    if not shutil.which("wrk"):
        raise Failed("wrk is not installed")
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "varied.lua"
        script.write_text(VARIED)
        words = ["wrk", "-t1", f"-c{connections}", f"-d{int(seconds)}s", "--latency", "-s", str(script), f"http://{address}"]
        told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", told).groups()
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    return {
        "per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1)),
        "p99_ms": float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit],
        "refused": int(refused.group(1)) if refused else 0,
    }


def rules(folder):
    """Returns the lines of nginx that load libmodsecurity with the rules, at paranoia level 1; or why there are none."""
    module = next((it for it in MODULES if pathlib.Path(it).is_file()), None)
    folders = [os.environ["BARTIZAN_CRS"]] if os.environ.get("BARTIZAN_CRS") else modsecurity.CRS_FOLDERS
    crs = next((pathlib.Path(it) for it in folders if (pathlib.Path(it) / "rules").is_dir()), None)
    if module is None or crs is None:
        return None, "the module of nginx or the Core Rule Set is not installed"
    set_ups = [crs / "crs-setup.conf", crs / "crs-setup.conf.example", pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")]
    lines = ["SecRuleEngine On", "SecRequestBodyAccess On"]
    lines += [f"Include {it}" for it in set_ups if it.is_file()][:1]
    lines += [f"Include {it}" for it in sorted((crs / "rules").glob("*.conf"))]
    (folder / "modsecurity.conf").write_text("\n".join(lines) + "\n")
    return (f"load_module {module};", f"modsecurity on; modsecurity_rules_file {folder}/modsecurity.conf;"), ""


def added(through, straight, path, rate):
    """Returns what the gateway adds to the 99th percentile at a rate, in milliseconds: through it and straight, in turn."""
    if not shutil.which("h2load"):
        return "h2load is not installed", None
    differences = []
    for _ in range(3):
        one, other = (percentile(it, path, rate) for it in (through, straight))
        differences.append(one - other)
    median = sorted(differences)[1]
    return median, median < 1


def percentile(address, path, rate):
    """Returns the 99th percentile of answers at a rate, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        words = ["h2load", "--h1", "-c", str(CONNECTIONS), "-n", str(int(rate * 5)), "--rps", str(max(1, rate / CONNECTIONS)),
                 "--log-file", str(log), f"http://{address}{path}"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        # Start, status and time of each request, in microseconds.
        times = sorted(int(it.split("\t")[2]) for it in log.read_text().splitlines())
    return times[len(times) * 99 // 100] / 1e3


def flood(server, address, path, seconds):
    """Sends requests of a million addresses, as a trusted proxy; returns memory in MB after a quarter and at the most since."""
    if not shutil.which("wrk"):
        return [("flood from a million addresses", "wrk is not installed", "", "", None)]
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "flood.lua"
        script.write_text(FLOOD.format(addresses=FLOOD_ADDRESSES, path=path))
        words = ["wrk", "-t2", "-c32", "-s", str(script), f"http://{address}"]

        def run(part):
            told = subprocess.run([*words, f"-d{int(part)}s"], check=True, capture_output=True, text=True).stdout
            return int(re.search(r"(\d+) requests in", told).group(1))

        count = run(seconds / 4)
        quarter = server.memory()[0]
        server.restart_memory()
        count += run(3 * seconds / 4)
        most = server.memory()[1]
    growth = (most - quarter) / quarter
    return [
        ("flood: requests", count, "", "", None),
        ("flood: memory after a quarter", quarter / 1e6, "MB", "", None),
        ("flood: memory at the most since", most / 1e6, "MB", f"<= {FLOOD_GROWTH_MAX:.0%} more", growth <= FLOOD_GROWTH_MAX),
    ]
