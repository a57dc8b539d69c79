"""A loopback forwarder that vanishes in the middle: so a server goes away for one client and not for us."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

LOOPBACK = "127.0.0.1"


class Proxy:
    """Forwards so many pieces of what clients send, then drops every connection and refuses new ones."""

    def __init__(self, target: str, pieces: int) -> None:
        host, _, port = target.partition(":")
        self.target, self.left = (host, int(port)), pieces
        self.listener = socket.create_server((LOOPBACK, 0))
        self.host = f"{LOOPBACK}:{self.listener.getsockname()[1]}"
        self.open: list[socket.socket] = []
        self.lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def vanish(self) -> None:
        with self.lock:
            for one in [self.listener, *self.open]:
                with suppress(OSError):  # it is closed already
                    one.shutdown(socket.SHUT_RDWR)
                one.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the listener was closed: we have vanished
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.target)
                with self.lock:
                    self.open += [client, server]
                for ends in ((client, server, 1), (server, client, 0)):
                    threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counts: int) -> None:
        with suppress(OSError):  # one of the two ended
            while data := source.recv(1 << 16):
                self.left -= counts
                if self.left < 0:
                    self.vanish()
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)


@contextmanager
def vanishing(target: str, pieces: int) -> Iterator[Proxy]:
    """Forwards to `target` (host:port) until it vanishes, at the latest at the end."""
    proxy = Proxy(target, pieces)
    try:
        yield proxy
    finally:
        proxy.vanish()
