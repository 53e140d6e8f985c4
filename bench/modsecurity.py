"""libmodsecurity with the Core Rule Set, as a peer in the same run: only where the system has both."""

import base64
import ctypes
import ctypes.util
import json
import lzma
import os
import pathlib
import time

CRS_FOLDERS = ["/usr/share/modsecurity-crs", "/etc/modsecurity/crs"]
# Every n-th request: the peer takes about a millisecond for one.
STEP = 10


class Intervention(ctypes.Structure):
    _fields_ = [("status", ctypes.c_int), ("pause", ctypes.c_int), ("url", ctypes.c_char_p), ("log", ctypes.c_char_p),
                ("disruptive", ctypes.c_int)]


class Peer:
    """The library with its rules loaded, at paranoia level 1."""

    def __init__(self, library, folder):
        self.library = library
        for name in ("msc_init", "msc_create_rules_set", "msc_new_transaction"):
            getattr(library, name).restype = ctypes.c_void_p
        self.engine = ctypes.c_void_p(library.msc_init())
        self.rules = ctypes.c_void_p(library.msc_create_rules_set())
        error = ctypes.c_char_p()
        self._check(library.msc_rules_add(self.rules, b"SecRuleEngine On\nSecRequestBodyAccess On\n", ctypes.byref(error)), error)
        set_up = [it for it in (folder / "crs-setup.conf", folder / "crs-setup.conf.example",
                                pathlib.Path("/etc/modsecurity/crs/crs-setup.conf")) if it.is_file()][:1]
        for path in set_up + sorted((folder / "rules").glob("*.conf")):
            self._check(library.msc_rules_add_file(self.rules, str(path).encode(), ctypes.byref(error)), error)

    @staticmethod
    def _check(added, error):
        if added < 0:
            raise OSError((error.value or b"rules were refused").decode())

    def is_blocked(self, request):
        """Runs the rules of requests; returns whether one interfered."""
        library, nothing = self.library, ctypes.c_char_p()
        transaction = ctypes.c_void_p(library.msc_new_transaction(self.engine, self.rules, None))
        library.msc_process_connection(transaction, b"198.51.100.7", 40000, b"192.0.2.1", 80)
        version = request["proto"].removeprefix("HTTP/").encode() or b"1.1"
        library.msc_process_uri(transaction, request["uri"].encode("latin-1", "replace"), request["method"].encode(), version)
        for name, value in request["headers"]:
            library.msc_add_request_header(transaction, name.encode(), value.encode("latin-1", "replace"))
        library.msc_process_request_headers(transaction)
        body = base64.b64decode(request["body"] + "==")
        if body:
            library.msc_append_request_body(transaction, body, len(body))
        library.msc_process_request_body(transaction)
        asked = Intervention(200, 0, nothing, nothing, 0)
        is_blocked = library.msc_intervention(transaction, ctypes.byref(asked)) > 0
        library.msc_transaction_cleanup(transaction)
        return is_blocked


def load():
    """Returns the peer, or says why there is none."""
    name = ctypes.util.find_library("modsecurity")
    folders = [os.environ["BARTIZAN_CRS"]] if os.environ.get("BARTIZAN_CRS") else CRS_FOLDERS
    folder = next((pathlib.Path(it) for it in folders if (pathlib.Path(it) / "rules").is_dir()), None)
    if name is None:
        return None, "libmodsecurity is not installed"
    if folder is None:
        return None, "there is no Core Rule Set (set BARTIZAN_CRS)"
    try:
        return Peer(ctypes.CDLL(name), folder), ""
    except OSError as failure:
        return None, f"libmodsecurity does not take the rules: {failure}"


def figures(sets):
    """Makes the figures of the peer for each set; none when it is not here."""
    peer, why = load()
    if peer is None:
        print(f"  not compared with libmodsecurity: {why}")
        return []
    told = []
    for path in sets:
        with lzma.open(path, "rt", encoding="utf-8") as lines:
            samples = [json.loads(it) for number, it in enumerate(lines) if number % STEP == 0]
        counts, times = {0: [0, 0], 1: [0, 0]}, []
        for sample in samples:
            began = time.perf_counter()
            is_blocked = peer.is_blocked(sample)
            times.append(1e6 * (time.perf_counter() - began))
            counts[sample["label"]][0] += 1
            counts[sample["label"]][1] += is_blocked
        name = path.name.split(".")[0]
        for label, word in ((1, "found"), (0, "false alarms")):
            if counts[label][0]:
                told.append((f"libmodsecurity, {name}: {word}", 100 * counts[label][1] / counts[label][0], "%", "", None))
        told.append((f"libmodsecurity, {name}: a request, p50", sorted(times)[len(times) // 2], "us", "", None))
    return told
