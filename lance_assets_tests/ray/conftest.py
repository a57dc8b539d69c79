"""One Ray head for the whole test session, joined by every test."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from lance_assets.compute.head import start_head, stop_head
from lance_assets.store.files import DataRoot
from lance_assets_tests.tables import picture


@pytest.fixture(scope="session")
def ray_address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    head = start_head(folder / "ray.json", 2, folder / "ray.log")
    yield head.address
    stop_head(folder / "ray.json")


@pytest.fixture(scope="module")
def joined(ray_address):
    """This process as a driver of the shared head."""
    import ray

    ray.init(ray_address, namespace="lance_assets", log_to_driver=False)
    yield
    ray.shutdown()


@pytest.fixture
def root(tmp_path):
    return DataRoot(tmp_path / "data")


class Pictures(BaseHTTPRequestHandler):
    """`/<number>.jpg` is a picture; `/gone/...` is not there; `/html/...` is a page that says it is a picture."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.paths.append(self.path)
        body, status = picture(int("".join(filter(str.isdigit, self.path)) or 0), 64), 200
        if self.path.startswith("/gone/"):
            body, status = b"not here", 404
        elif self.path.startswith("/html/"):
            body = b"<html>please log in</html>"
        self.send_response(status)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Tests read `paths` instead."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Pictures)
        self.paths: list[str] = []
        self.host = f"127.0.0.1:{self.server_port}"

    def server_bind(self):
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().server_bind()


@pytest.fixture
def pictures():
    """A loopback image server; `.host`, `.paths` requested so far."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
