"""An S3-compatible server (moto) on loopback: a child process that ends with us, and the environment that names it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from wsgiref.types import StartResponse, WSGIEnvironment

LOOPBACK = "127.0.0.1"
BUCKET = "lance-assets"
SECRET = "not-a-secret-but-never-shown"


@dataclass(frozen=True)
class S3:
    """`uri` is that of the bucket, `host` host:port, `pid` the server's."""

    uri: str
    host: str
    pid: int


@contextmanager
def s3_server() -> Iterator[S3]:
    """A server with one empty bucket; inside, the environment of this process and its children points to it."""
    command = [sys.executable, "-m", "lance_assets_tests.s3_server"]
    before = dict(os.environ)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            host = child.stdout.readline().strip()
            assert host, "the S3 server did not start"
            _make_bucket(host)
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                del os.environ[name]
            os.environ.update(environment(host))
            yield S3(f"s3://{BUCKET}", host, child.pid)
        finally:
            child.kill()
            os.environ.clear()
            os.environ.update(before)


def environment(host: str) -> dict[str, str]:
    """What object_store, in Lance and in obstore, reads."""
    return {
        "AWS_ENDPOINT": f"http://{host}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }


def _make_bucket(host: str) -> None:
    connection = HTTPConnection(host, timeout=30)
    connection.request("PUT", f"/{BUCKET}")
    assert connection.getresponse().status == 200
    connection.close()


def main() -> None:
    """Serves on a free port, says host:port on stdout, and ends when stdin does."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import make_server

    moto, one_at_a_time = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def application(request: WSGIEnvironment, start: StartResponse) -> list[bytes]:
        with one_at_a_time:  # moto compares an e_tag and writes in two steps, which S3 does in one
            return list(moto(request, start))

    class Quiet(MotoRequestHandler):
        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Tests read what the requests did."""

    server = make_server(LOOPBACK, 0, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"{LOOPBACK}:{server.server_port}", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
