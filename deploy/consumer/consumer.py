#!/usr/bin/env python3
"""Follows the decisions of Bartizan, and logs each change or runs a program for it.

    consumer.py --url http://127.0.0.1:7070 --key-file FILE [--cursor FILE] [--run PROGRAM]

Without --run every change is a line on stdout. With it PROGRAM is called as
`PROGRAM add|remove TYPE VALUE SECONDS REASON`; a program that fails is called again before the next change.
The cursor is kept in a file after each change was dealt with, so nothing is missed over a restart; a change may come
twice. It needs a key of scope bouncer or read, and Python 3, and nothing else.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

WAIT_SECONDS = 25
RETRY_SECONDS = (1, 30)


def changes(url, key, cursor):
    """Yields the lines of one answer."""
    query = urllib.parse.urlencode({"after": cursor, "wait": f"{WAIT_SECONDS}s"}) if cursor else ""
    request = urllib.request.Request(f"{url}/v1/decisions/changes?{query}", headers={"X-Api-Key": key})
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS + 30) as answer:
        for line in answer:
            yield json.loads(line)


def handle(change, program):
    """Logs a change, or runs the program until it succeeds."""
    words = [change["change"], change["type"], change["value"], str(change["ttl"]), change["reason"]]
    if not program:
        print(" ".join(words), flush=True)
        return
    wait = RETRY_SECONDS[0]
    while subprocess.run([program, *words], check=False).returncode != 0:
        print(f"{program} failed; again in {wait} s", file=sys.stderr, flush=True)
        time.sleep(wait)
        wait = min(2 * wait, RETRY_SECONDS[1])


def keep(path, cursor):
    """Keeps the cursor in one step."""
    if path:
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(cursor)
        os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:7070")
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--cursor")
    parser.add_argument("--run")
    options = parser.parse_args()
    with open(options.key_file, encoding="ascii") as file:
        key = file.read().strip()
    cursor = ""
    if options.cursor and os.path.exists(options.cursor):
        with open(options.cursor, encoding="ascii") as file:
            cursor = file.read().strip()
    wait = RETRY_SECONDS[0]
    while True:
        try:
            for change in changes(options.url, key, cursor):
                if change["change"] in ("add", "remove"):
                    handle(change, options.run)
                if "cursor" in change:
                    cursor = change["cursor"]
                    keep(options.cursor, cursor)
            wait = RETRY_SECONDS[0]
        except (OSError, ValueError) as error:
            print(f"no answer: {error}; again in {wait} s", file=sys.stderr, flush=True)
            time.sleep(wait)
            wait = min(2 * wait, RETRY_SECONDS[1])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
