"""The loopback servers: faults as planted, a hub that keeps to its folder, and no process left behind."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest

from lance_assets.errors import BadInput
from lance_assets.sources.demo.hub import HubServer
from lance_assets.sources.demo.images import LOGIN_PAGE, ImageServer
from lance_assets.sources.demo.servers import DemoServers

BODY = bytes(range(256)) * 40


@pytest.fixture
def serve():
    """Starts a server object in a thread; returns a connection to it that is kept open."""
    running = []

    def begin(server):
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=5)
        running.append((server, thread, connection))
        return connection

    yield begin
    for server, thread, connection in running:
        connection.close()
        server.shutdown()
        server.server_close()
        thread.join()


def ask(connection, path, method="GET", **headers):
    connection.request(method, path, headers=headers)
    reply = connection.getresponse()
    return reply.status, reply.read(), reply.headers


@pytest.fixture
def images(tmp_path, serve):
    (tmp_path / "images").mkdir()
    for row in range(6):
        (tmp_path / "images" / f"{row:06d}.jpg").write_bytes(BODY)
    kinds = enumerate(("404", "html", "truncated", "503"), 1)
    records = [{"row": row, "kind": kind, "image": f"{row:06d}.jpg"} for row, kind in kinds]
    records.append({"row": 0, "kind": "cut", "caption": "a spoilt caption is no fault of the image"})
    (tmp_path / "planted.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return serve(ImageServer(0, tmp_path))


@pytest.fixture
def hub(tmp_path, serve):
    repo = tmp_path / "hub" / "ns" / "set" / "data"
    repo.mkdir(parents=True)
    for n in range(5):
        (repo / f"train-{n}.parquet").write_bytes(BODY + bytes([n]))
    (tmp_path / "hub" / "ns" / "secret").mkdir()
    (tmp_path / "hub" / "ns" / "secret" / "key.txt").write_text("not yours")
    return serve(HubServer(0, tmp_path))


def test_an_image_without_a_fault_comes_whole_on_a_kept_connection(images):
    for _ in range(3):
        status, body, headers = ask(images, "/images/000000.jpg")
        assert (status, body, headers["Content-Type"]) == (200, BODY, "image/jpeg")
        assert images.sock is not None


def test_a_planted_404_is_not_found_though_the_file_is_there(images):
    assert ask(images, "/images/000001.jpg")[0] == 404


def test_a_planted_login_page_claims_to_be_a_jpeg(images):
    status, body, headers = ask(images, "/images/000002.jpg")
    assert (status, body, headers["Content-Type"]) == (200, LOGIN_PAGE, "image/jpeg")


def test_a_planted_truncation_ends_before_the_announced_length(images):
    with pytest.raises(http.client.IncompleteRead) as caught:
        ask(images, "/images/000003.jpg")
    assert caught.value.partial == BODY[: len(BODY) // 2]


def test_a_planted_503_recovers_at_the_second_request(images):
    assert [ask(images, "/images/000004.jpg")[0] for _ in range(3)] == [503, 200, 200]


def test_faults_planted_while_the_server_runs_are_seen(images, tmp_path):
    assert ask(images, "/images/000005.jpg")[0] == 200
    with (tmp_path / "planted.jsonl").open("a") as planted:
        planted.write(json.dumps({"row": 5, "kind": "404", "image": "000005.jpg"}) + "\n")
    assert ask(images, "/images/000005.jpg")[0] == 404


@pytest.mark.parametrize("path", ["/planted.jsonl", "/images/../planted.jsonl", "/images/%2e%2e/planted.jsonl", "/"])
def test_the_image_server_serves_images_only(images, path):
    assert ask(images, path)[0] == 404


def test_every_image_request_is_logged_with_its_status(images, tmp_path):
    ask(images, "/images/000000.jpg")
    ask(images, "/images/000001.jpg")
    ask(images, "/-/alive")
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    assert [(line["path"], line["status"]) for line in lines] == [
        ("/images/000000.jpg", 200),
        ("/images/000001.jpg", 404),
    ]
    assert all(abs(line["time"] - time.time()) < 60 for line in lines)


def test_the_hub_lists_pages_with_the_digests_of_the_files(hub):
    found = []
    for page in (1, 2, 3, 4):
        query = f"Revision=master&Root=/&Recursive=True&PageNumber={page}&PageSize=2"
        status, body, _ = ask(hub, f"/api/v1/datasets/ns/set/repo/tree?{query}")
        assert status == 200
        found.append(json.loads(body)["Data"]["Files"])
    assert [len(page) for page in found] == [2, 2, 2, 0]
    entries = {entry["Path"]: entry for page in found for entry in page}
    assert entries["data"]["Type"] == "tree"
    assert entries["data/train-3.parquet"]["Sha256"] == hashlib.sha256(BODY + b"\x03").hexdigest()


def test_the_hub_answers_by_name_and_by_number(hub):
    number = json.loads(ask(hub, "/api/v1/datasets/ns/set")[1])["Data"]["Id"]
    assert ask(hub, f"/api/v1/datasets/{number}/repo/tree?Revision=master")[0] == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/datasets/ns/other",
        "/api/v1/datasets/ns/set/repo?Revision=master&FilePath=data/none.parquet",
        "/api/v1/datasets/ns/set/repo?Revision=v9&FilePath=data/train-0.parquet",
        "/api/v1/datasets/ns/set/repo?Revision=master&FilePath=../secret/key.txt",
        "/api/v1/datasets/ns/set/repo?Revision=master&FilePath=..%2Fsecret%2Fkey.txt",
        "/datasets/ns/set/resolve/master/..%2Fsecret%2Fkey.txt",
        "/api/v1/datasets/../secret/repo?FilePath=key.txt",
    ],
)
def test_what_is_absent_or_outside_the_repository_is_not_found(hub, path):
    status, body, _ = ask(hub, path)
    assert status == 404
    assert b"not yours" not in body


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [("bytes=0-9", 206, slice(0, 10)), ("bytes=10230-", 206, slice(10230, None)), ("bytes=99999-", 416, slice(0, 0))],
)
def test_the_hub_serves_ranges(hub, asked, status, part):
    found, body, headers = ask(hub, "/datasets/ns/set/resolve/master/data/train-1.parquet", Range=asked)
    assert (found, body) == (status, (BODY + b"\x01")[part])
    assert headers["Content-Range"].endswith("/10241")


def test_a_head_request_has_the_length_and_no_body(hub):
    _, body, headers = ask(hub, "/api/v1/datasets/ns/set/repo?Revision=master&FilePath=data/train-1.parquet", "HEAD")
    assert (body, headers["Content-Length"]) == (b"", "10241")


def test_ports_are_chosen_once_and_kept(tmp_path):
    assert DemoServers(tmp_path).ports() == DemoServers(tmp_path).ports()
    other = DemoServers(tmp_path / "other").ports()
    assert len({*other, *DemoServers(tmp_path).ports()}) == 4


def test_serving_starts_once_is_joined_and_ends_with_the_one_that_started_it(tmp_path):
    first, second = DemoServers(tmp_path), DemoServers(tmp_path)
    assert not first.alive()
    with first.serving():
        pid = json.loads((tmp_path / "servers.json").read_text())["pid"]
        with second.serving(), first.serving():
            assert json.loads((tmp_path / "servers.json").read_text())["pid"] == pid
        assert first.alive()
        listeners = [c.laddr for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert sorted(listeners) == sorted(("127.0.0.1", port) for port in first.ports())
    assert not first.alive()
    assert not psutil.pid_exists(pid)


def test_a_port_taken_by_somebody_else_is_named_with_its_file(tmp_path):
    servers = DemoServers(tmp_path)
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", servers.ports().image))
        squatter.listen()
        with pytest.raises(BadInput, match=rf"port {servers.ports().image}, which .*ports\.json"):
            servers.start()


def test_an_unreadable_ports_file_is_named(tmp_path):
    (tmp_path / "ports.json").write_text("{}")
    with pytest.raises(BadInput, match=r"ports\.json does not hold"):
        DemoServers(tmp_path).ports()


def test_the_servers_of_another_folder_are_not_taken_for_ours(tmp_path):
    mine, other = DemoServers(tmp_path / "mine"), DemoServers(tmp_path / "other")
    mine.ports()
    other.demo_dir.mkdir()
    (other.demo_dir / "ports.json").write_bytes((mine.demo_dir / "ports.json").read_bytes())
    with mine.serving():
        assert not other.alive()


def test_the_servers_end_when_their_owner_is_killed(tmp_path):
    script = (
        "import sys, pathlib; from lance_assets.sources.demo.servers import DemoServers\n"
        "DemoServers(pathlib.Path(sys.argv[1])).start(); print('up', flush=True); sys.stdin.read()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "up\n"
    servers = psutil.Process(json.loads((tmp_path / "servers.json").read_text())["pid"])
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    psutil.wait_procs([servers], timeout=10)
    assert not servers.is_running()
    assert not DemoServers(tmp_path).alive()
