"""The part `gateway` of `bench/run`: the same upstream through the gateway with inspection, without it, and through nginx."""

import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

from conduct import Failed, START_SECONDS_MAX, STOP_SECONDS_MAX, Server, bare, spread
import conduct
import peers

CONNECTIONS = 32
PEER = "nginx, libmodsecurity"
PAGE = b"<!doctype html><title>A page</title>" + b"<p>Some text of a page.</p>" * 40
PATH = "/shop/articles?page=2&sort=price&q=red+shoes"

NGINX = """
{module}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes auto;
events {{ worker_connections 1024; }}
http {{
    access_log {folder}/access.log;
    {more}
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    upstream site {{ server {upstream}; keepalive 256; keepalive_requests 1000000000; }}
    server {{
        listen {address};
        location / {{
            proxy_pass http://site;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $remote_addr;
        }}
    }}
}}
"""


def gateway(settings):
    """GETs through the gateway with inspection on and off, and through nginx as a plain reverse proxy, in turn.

    They differ in path, query and cookie. The percentile that is added and the flood ask for one path.
    """
    folder = pathlib.Path(tempfile.mkdtemp(dir=made(conduct.FOLDER)))
    try:
        with contextlib.ExitStack() as open_now:
            site = open_now.enter_context(bare(PAGE, "text/html", folder))
            on = open_now.enter_context(proxy(folder, site.address, "true"))
            off = open_now.enter_context(proxy(folder, site.address, "false"))
            subjects = {"inspection on": address_of(on), "inspection off": address_of(off)}
            if shutil.which("nginx"):
                subjects["nginx"] = open_now.enter_context(nginx(folder, site.address))
                rules, why = peers.rules(folder)
                if rules:
                    subjects[PEER] = open_now.enter_context(nginx(folder, site.address, *rules))
                else:
                    print(f"  not compared with nginx and libmodsecurity: {why}")
            reports = {name: [] for name in subjects}
            before, counted = on.processor(), on.metric("bartizan_gateway_requests_total")
            for _ in range(settings.runs):
                for name, address in subjects.items():
                    reports[name].append(peers.varied(address, CONNECTIONS, settings.seconds))
            told = figures(reports, on, before, counted)
            rate = spread([it["per_second"] for it in reports["inspection on"]])["median"] / 2
            more, is_met = peers.added(address_of(on), site.address, PATH, rate)
            told.append((f"p99 added at {rate:,.0f}/s, half of the most", more, "ms", "< 1", is_met))
            flooded = open_now.enter_context(proxy(folder, site.address, "true", 'trusted_proxies = ["127.0.0.1"]\n'))
            told += peers.flood(flooded, address_of(flooded), PATH, 8 * settings.seconds)
            return told, reports
    finally:
        shutil.rmtree(folder)


def figures(reports, on, before, counted):
    """Returns the rates, and the gateway's as parts of the others."""
    rates = {name: spread([it["per_second"] for it in of_name]) for name, of_name in reports.items()}
    refused = sum(it["refused"] for of_name in reports.values() for it in of_name)
    out = [(name, rates[name], "/s", "", None) for name in rates]
    out += [(f"{name}: p99", spread([it["p99_ms"] for it in reports[name]]), "ms", "", None) for name in rates]
    part = ratio(reports, "inspection on", "inspection off")
    out.append(("of itself with inspection off", part, "%", ">= 90", part["median"] >= 90))
    if PEER in reports:
        part = ratio(reports, "inspection on", PEER)
        out.append(("of nginx with libmodsecurity and CRS", part, "%", ">= 500", part["median"] >= 500))
    if "nginx" in reports:
        part = ratio(reports, "inspection on", "nginx")
        out.append(("of nginx as a plain reverse proxy", part, "%", ">= 65", part["median"] >= 65))
    else:
        out.append(("of nginx as a plain reverse proxy", "nginx is not installed", "%", ">= 65", None))
    requests = on.metric("bartizan_gateway_requests_total") - counted
    used = sum(on.processor().values()) - sum(before.values())
    inspected = on.metric("bartizan_gateway_inspection_seconds_count")
    seconds = on.metric("bartizan_gateway_inspection_seconds_sum")
    lost = on.metric("bartizan_gateway_lost_events_total")
    return out + [
        ("processor time a request, events and all", 1e6 * used / requests, "us", "", None),
        ("inspection of a request, by the clock", 1e6 * seconds / inspected, "us", "", None),
        ("events lost", lost, "", "0", lost == 0),
        ("answers that were no success", refused, "", "0", refused == 0),
    ]


def ratio(reports, name, other):
    """Returns how much of another's rate a subject has, run by run, in percent."""
    pairs = zip(reports[name], reports[other])
    return spread([100 * one["per_second"] / two["per_second"] for one, two in pairs])


def proxy(folder, upstream, inspects, lines=""):
    """Starts a server with a gateway; `lines` are further settings of it."""
    path = folder / f"inspect-{inspects}.toml"
    path.write_text(f'[gateway]\nlisten = "127.0.0.1:0"\nupstream = ["http://{upstream}"]\ninspect = {inspects}\n{lines}')
    return Server("--config", str(path))


def address_of(server):
    """Returns where the gateway of a server is, from its greeting."""
    for _, line in list(server.lines):
        found = re.search(r"The gateway takes requests at http://(\S+)", line)
        if found:
            return found.group(1)
    raise Failed("the server does not say where its gateway is")


@contextlib.contextmanager
def nginx(folder, upstream, module="", more=""):
    """Runs nginx in front of the upstream; gives its address."""
    home = made(pathlib.Path(tempfile.mkdtemp(dir=folder)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    (home / "nginx.conf").write_text(NGINX.format(folder=home, upstream=upstream, address=address, module=module, more=more))
    process = subprocess.Popen(["nginx", "-p", str(home), "-c", str(home / "nginx.conf")],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield address
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(port, process):
    """Waits until somebody listens."""
    end = time.time() + START_SECONDS_MAX
    while time.time() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Failed("nginx does not listen")


def made(folder):
    """Returns a folder, made where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
