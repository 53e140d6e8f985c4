#!/usr/bin/env python3
"""Follows the decisions of Bartizan, and logs each change or runs a program for it.

    consumer.py --url http://127.0.0.1:7070 --key-file FILE [--cursor FILE] [--run PROGRAM]

Without --run every change is a line on stdout. With it PROGRAM is called as
`PROGRAM add|remove TYPE VALUE SECONDS REASON`; a program that fails is called again before the next change. A value that
begins with `-` would be taken for an option by what PROGRAM calls: it is refused, and said on stderr.
The file of --cursor keeps a line for each change that was dealt with, and the cursor, so nothing is missed over a
restart; a change may come twice. When the server tells everything anew, what it does not tell any more is removed.
It needs a key of scope bouncer or read, and Python 3, and nothing else.
"""

import argparse
import http.client
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
# So many lines that say nothing any more are kept before the file is written anew.
OLD_LINES_MAX = 10_000


def complain(text):
    print(text, file=sys.stderr, flush=True)


def changes(url, key, cursor):
    """Yields the lines of one answer."""
    query = urllib.parse.urlencode({"after": cursor, "wait": f"{WAIT_SECONDS}s"}) if cursor else ""
    request = urllib.request.Request(f"{url}/v1/decisions/changes?{query}", headers={"X-Api-Key": key})
    with urllib.request.urlopen(request, timeout=WAIT_SECONDS + 30) as answer:
        for line in answer:
            yield json.loads(line)


def handle(action, subject, seconds, reason, program):
    """Logs a change, or runs the program until it succeeds."""
    _, measure, value = subject
    words = [action, measure, value, str(seconds), f" {reason}" if reason.startswith("-") else reason]
    if not program:
        print(" ".join(words), flush=True)
        return
    if value.startswith("-"):
        complain(f"refused to run {program} for {value!r}: it would be taken for an option")
        return
    wait = RETRY_SECONDS[0]
    while subprocess.run([program, *words], check=False).returncode != 0:
        complain(f"{program} failed; again in {wait} s")
        time.sleep(wait)
        wait = min(2 * wait, RETRY_SECONDS[1])


class State:
    """What was dealt with, and from where to go on."""

    def __init__(self, path):
        self.path, self.cursor, self.known, self.lines, self.file = path, "", set(), 0, None
        if path and os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                for line in file:
                    self.read(line)
        self.write()

    def read(self, line):
        # Half a line is what a crash leaves: its change comes again.
        try:
            entry = json.loads(line)
            self.cursor = entry.get("cursor", self.cursor)
            self.known |= {tuple(it) for it in entry.get("add", [])}
            self.known -= {tuple(it) for it in entry.get("remove", [])}
        except (ValueError, AttributeError, TypeError):
            pass

    def note(self, action, subject):
        (self.known.add if action == "add" else self.known.discard)(subject)
        self.append({action: [subject]})

    def keep(self, cursor):
        self.cursor = cursor
        self.append({"cursor": cursor})

    def append(self, entry):
        if not self.path:
            return
        self.file.write(json.dumps(entry) + "\n")
        self.file.flush()
        self.lines += 1
        if len(self.known) + OLD_LINES_MAX < self.lines:
            self.write()

    def write(self):
        """Writes all of it anew, in one step."""
        if not self.path:
            return
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            for subject in self.known:
                file.write(json.dumps({"add": [subject]}) + "\n")
            file.write(json.dumps({"cursor": self.cursor}) + "\n")
        os.replace(self.path + ".new", self.path)
        self.file = open(self.path, "a", encoding="utf-8")
        self.lines = len(self.known)


def follow(options, key, state):
    """Deals with one answer."""
    told = None  # what a whole answer has told so far
    for change in changes(options.url, key, state.cursor):
        action = change["change"]
        if action == "reset":
            told = set()
        elif action in ("add", "remove"):
            subject = (change["scope"], change["type"], change["value"])
            handle(action, subject, change["ttl"], change["reason"], options.run)
            state.note(action, subject)
            if told is not None:
                told.add(subject)
        elif action == "cursor" and told is not None:
            for subject in sorted(state.known - told):
                handle("remove", subject, 0, "not told any more", options.run)
                state.note("remove", subject)
        if "cursor" in change:
            state.keep(change["cursor"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://127.0.0.1:7070")
    parser.add_argument("--key-file", required=True)
    parser.add_argument("--cursor")
    parser.add_argument("--run")
    options = parser.parse_args()
    with open(options.key_file, encoding="ascii") as file:
        key = file.read().strip()
    state = State(options.cursor)
    wait = RETRY_SECONDS[0]
    while True:
        try:
            follow(options, key, state)
            wait = RETRY_SECONDS[0]
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            complain(f"no answer: {error!r}; again in {wait} s")
            time.sleep(wait)
            wait = min(2 * wait, RETRY_SECONDS[1])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
