"""The part `enforced` of `bench/run`: how long after a decision was acknowledged the first request is refused.

By the gateway of the same process, by a gateway that follows another installation, and by a kernel that
`bartizan enforce nftables` feeds; the last in a network namespace of its own, which needs root and `nft`.
"""

import contextlib
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from conduct import Failed, Server, bare
from gateway import PAGE, address_of, made
import conduct

# How many decisions each is measured with, in a quick run a third; and how long one may take.
DECISIONS = 90
SECONDS_MAX = 10
# How long a packet that passes is waited for at most, in seconds: what is dropped never comes.
PACKET_SECONDS = 0.02
SECTION = ('[gateway]\nlisten = "127.0.0.1:0"\nupstream = ["http://{site}"]\ntrusted_proxies = ["127.0.0.1"]\n{more}'
           '[decisions]\nspare_local = false\n')


def enforced(settings):
    """From the acknowledgement of a decision to the first request that is refused."""
    count = DECISIONS // 3 if settings.runs < 5 else DECISIONS
    folder = pathlib.Path(tempfile.mkdtemp(dir=made(conduct.FOLDER)))
    try:
        with bare(PAGE, "text/html", folder) as site:
            times = {"own gateway": own(site.address, folder, count), "remote gateway": remote(site.address, folder, count)}
        kernel = in_namespace(folder, count)
    finally:
        shutil.rmtree(folder)
    figures = [figure for name, it in times.items() for figure in figures_of(name, it)]
    if isinstance(kernel, str):
        return figures + [("nftables", kernel, "", "", None)], {"seconds": times}
    return figures + figures_of("nftables", kernel), {"seconds": dict(times, nftables=kernel)}


def figures_of(name, times):
    times = sorted(times)
    p99 = times[min(len(times) - 1, int(0.99 * len(times)))]
    values = [("decisions", len(times), ""), ("p50", statistics.median(times) * 1e3, "ms"),
              ("p99", p99 * 1e3, "ms"), ("most", times[-1] * 1e3, "ms")]
    return [(f"{name}: {what}", value, unit, "", None) for what, value, unit in values]


def configured(folder, name, text):
    path = folder / name
    path.write_text(text)
    return "--config", str(path)


def own(site, folder, count):
    """Decides and asks in one process."""
    with Server(*configured(folder, "own.toml", SECTION.format(site=site, more=""))) as server:
        return [timed(server, f"11.0.{it // 250}.{it % 250}", passes_through(address_of(server))) for it in range(count)]


def remote(site, folder, count):
    """Decides in one installation and asks the gateway of another."""
    with Server() as lead:
        key = key_of(lead, folder)
        more = f'decisions_from = "http://{lead.address}"\ndecisions_key = "file:{key}"\n'
        with Server(*configured(folder, "edge.toml", SECTION.format(site=site, more=more))) as edge:
            wait_until(lambda: json.loads(edge.get("/health"))["gateway_decisions"]["enforced"], "the lead is heard")
            gateway = address_of(edge)
            return [timed(lead, f"11.0.{it // 250}.{it % 250}", passes_through(gateway)) for it in range(count)]


def in_namespace(folder, count):
    """Runs this file again where no other firewall is; returns times, or why there are none."""
    missing = [it for it in ("unshare", "ip", "nft") if shutil.which(it) is None]
    if missing or os.geteuid() != 0:
        return f"left out: {f'`{missing[0]}` is missing' if missing else 'it needs root'}"
    words = ["unshare", "--net", sys.executable, __file__, str(conduct.BINARY), str(folder), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS_MAX * count)
    if done.returncode != 0:
        raise Failed(done.stderr.strip()[-500:])
    return json.loads(done.stdout)


def kernel(folder, count):
    """Decides in a server, and sends packets through the kernel that the feeder feeds; all of it in this namespace."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Server(*configured(folder, "kernel.toml", "[decisions]\nspare_local = false\n")) as server:
        words = [str(conduct.BINARY), "enforce", "nftables", "--url", f"http://{server.address}", "--key-file",
                 str(key_of(server, folder)), "--snapshot", str(folder / "snapshot")]
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as feeder:
            try:
                table = ["nft", "list", "table", "inet", "bartizan"]
                wait_until(lambda: b"bans4" in subprocess.run(table, capture_output=True).stdout, "the table is there")
                return [timed(server, f"127.9.{it // 250}.{1 + it % 250}", arrives) for it in range(count)]
            finally:
                feeder.terminate()


def key_of(server, folder):
    """Makes a key for whoever follows; returns its file."""
    words = [str(conduct.BINARY), "key", "create", "--name", "edge", "--scope", "bouncer", "--data",
             str(server.folder / "data")]
    path = folder / f"edge-{server.folder.name}.key"
    path.write_text(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
    return path


def wait_until(is_so, what):
    end = time.time() + SECONDS_MAX
    while not is_so():
        if end < time.time():
            raise Failed(f"waited {SECONDS_MAX} s in vain until {what}")
        time.sleep(0.02)


def timed(server, client, passes):
    """Decides about a client; returns how long after the answer it was refused, in seconds."""
    if not passes(client):
        raise Failed(f"{client} is refused before it is banned")
    with contextlib.closing(http.client.HTTPConnection(server.address, timeout=10)) as connection:
        headers = {"Authorization": f"Bearer {server.key}", "Content-Type": "application/json"}
        body = json.dumps({"ip": client, "for": "1h", "reason": "a measurement"})
        connection.request("POST", "/v1/decisions", body, headers)
        answer = connection.getresponse()
        text = answer.read()
    began = time.perf_counter()
    if answer.status not in (200, 201):
        raise Failed(f"{client} is not banned: {text!r}")
    while True:
        # What is refused was refused when it was sent, not when that was noticed.
        sent = time.perf_counter()
        if not passes(client):
            return sent - began
        if SECONDS_MAX < sent - began:
            raise Failed(f"{client} is not refused within {SECONDS_MAX} s")


def passes_through(gateway):
    """Says of clients whether a request of theirs passes, each asked on one connection that stays."""
    connection = http.client.HTTPConnection(gateway, timeout=10)
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:105.0) Firefox/105.0"

    def passes(client):
        connection.request("GET", "/", headers={"X-Forwarded-For": client, "User-Agent": agent})
        answer = connection.getresponse()
        answer.read()
        return answer.status == 200

    return passes


def arrives(client):
    """Says whether a packet of an address of this host arrives."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver, \
            contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PACKET_SECONDS)
        sender.bind((client, 0))
        try:
            sender.sendto(b"x", receiver.getsockname())
            return receiver.recv(8) == b"x"
        except (TimeoutError, PermissionError):
            return False


if __name__ == "__main__":
    conduct.BINARY, conduct.FOLDER = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    print(json.dumps(kernel(pathlib.Path(sys.argv[2]), int(sys.argv[3]))))
