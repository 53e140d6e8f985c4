"""Speaks TLS in front of something that does not: `tls_way.py CERTIFICATE KEY HOST:PORT`; prints its own port."""

import socket
import ssl
import sys
import threading

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
host, port = sys.argv[3].split(":")
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)


def carry(source, target):
    try:
        while data := source.recv(16384):
            target.sendall(data)
    except OSError:
        pass
    target.close()


def serve(plain):
    try:
        here = context.wrap_socket(plain, server_side=True)
    except OSError:
        return
    there = socket.create_connection((host, int(port)))
    threading.Thread(target=carry, args=(here, there), daemon=True).start()
    carry(there, here)


while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
