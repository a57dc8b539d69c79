"""A hub that is away, slow, wrong or hostile: the real SDK ends in bounded time with one sentence, and keeps nothing
that is not what was listed."""

from __future__ import annotations

import re
import socket
import time
from contextlib import closing

import pytest

from lance_assets.errors import BadInput
from lance_assets.sources import modelscope
from lance_assets.sources.base import Columns
from lance_assets.sources.modelscope import ModelScopeSource
from lance_assets.sources.modelscope_process import without_user
from lance_assets_tests.hub_server import Fault, hub_server

CANARY = "ms-canary-0123456789"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hub")
    (folder / "hub" / "ns" / "set").mkdir(parents=True)
    (folder / "hub" / "ns" / "set" / "train.jsonl").write_text('{"url": "http://example.org/1.jpg", "text": "one"}\n')
    with hub_server(folder) as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(hub, monkeypatch):
    """No fault planted yet, and an SDK that waits two seconds where it would wait a minute."""
    hub.forget()
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_TIMEOUT", "2")
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "1")
    monkeypatch.setenv("MODELSCOPE_REPO_TREE_PAGE_TIMEOUT_SECONDS", "2")


def source(hub, cache):
    return ModelScopeSource("ms", "ns/set", None, cache, Columns(), hub.endpoint)


def captions(opened):
    return [row.caption for file in opened.files() for row in opened.read(file, 0, file.rows)]


def refusal(hub, cache):
    """The sentence that listing and loading ends with, and the seconds it took."""
    start = time.monotonic()
    with pytest.raises(BadInput) as caught:
        list(source(hub, cache).files())
    assert "\n" not in str(caught.value)
    assert not list(cache.glob("*.parquet"))
    return str(caught.value), time.monotonic() - start


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/repo/tree", "status", 500),
        Fault("/repo/tree", "hang", 2.5),
        Fault("FilePath=", "status", 503),
        Fault("FilePath=", "hang", 2.5),
        Fault("FilePath=", "cut", 9),
        Fault("FilePath=", "flip", 9),
    ],
    ids=lambda fault: f"{fault.kind} {fault.where}",
)
def test_what_goes_wrong_once_is_tried_again(hub, tmp_path, fault):
    fault.times = 1
    hub.faults = [fault]
    assert captions(source(hub, tmp_path)) == ["one"]
    assert fault.times == 0


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (Fault("/repo/tree", "status", 500), "cannot be reached: ServerError"),
        (Fault("/repo/tree", "hang", 2.5), "cannot be reached: RequestTimeoutError"),
        (Fault("/repo/tree", "data", 7), "cannot be reached: NetworkError: .*Malformed file listing"),
        (Fault("FilePath=", "status", 500), "cannot be reached: ServerError"),
        (Fault("FilePath=", "status", 404), "lists train.jsonl of ns/set at revision master and does not have it"),
        (Fault("FilePath=", "status", 403), "train.jsonl of ns/set could not be loaded from .*PermissionDenied"),
        (Fault("FilePath=", "cut", 1), "cannot be reached: NetworkError"),
        (Fault("FilePath=", "flip", 9), "train.jsonl of ns/set was damaged on its way from the ModelScope hub"),
    ],
    ids=lambda value: f"{value.kind} {value.where} {value.value}" if isinstance(value, Fault) else "",
)
def test_what_stays_wrong_ends_soon_with_one_sentence_and_nothing_kept(hub, tmp_path, fault, sentence):
    fault.times = 99
    hub.faults = [fault]
    said, seconds = refusal(hub, tmp_path)
    assert re.search(sentence, said), said
    assert seconds < 20


def test_a_hub_that_never_answers_is_given_up_also_where_the_sdk_would_wait(hub, tmp_path, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_REPO_TREE_PAGE_TIMEOUT_SECONDS", "600")
    monkeypatch.setattr(modelscope, "LIST_SECONDS", 2.0)
    hub.faults = [Fault("/repo/tree", "hang", 30)]
    said, seconds = refusal(hub, tmp_path)
    assert said == f"the ModelScope hub at {hub.endpoint} did not answer within 2 s"
    assert seconds < 10
    hub.stopped.set()
    hub.stopped.clear()


def test_with_the_hub_down_cached_rows_are_read_and_the_list_is_refused(hub, tmp_path):
    (file,) = source(hub, tmp_path).files()
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        away = f"http://127.0.0.1:{probe.getsockname()[1]}"
        down = ModelScopeSource("ms", "ns/set", None, tmp_path, Columns(), away)
        assert [row.caption for row in down.read(file, 0, 1)] == ["one"]
        with pytest.raises(BadInput, match=f"the ModelScope hub at {away} cannot be reached"):
            list(down.files())


@pytest.mark.parametrize("path", ["../../escaped.jsonl", "/tmp/escaped.jsonl", "data/../../../escaped.jsonl"])
def test_a_hostile_list_of_files_is_refused_before_any_download(hub, tmp_path, path):
    entry = {"Path": path, "Type": "blob", "Size": 3, "Sha256": "ab" * 32}
    hub.faults = [Fault("/repo/tree", "data", {"Files": [entry]})]
    assert "which is refused" in refusal(hub, tmp_path)[0]
    assert not hub.requests("FilePath=")


def test_a_list_of_files_without_end_is_refused(hub, tmp_path):
    page = [{"Path": f"train-{n}.jsonl", "Type": "blob", "Size": 3, "Sha256": "ab" * 32} for n in range(500)]
    hub.faults = [Fault("/repo/tree", "data", {"Files": page}, 99)]
    assert "the list of files changed while it was read (page 2)" in refusal(hub, tmp_path)[0]


def test_a_list_that_is_no_list_at_http_200_is_not_taken_for_an_empty_one(hub, tmp_path):
    files = [{"Path": f"train-{n}.jsonl", "Type": "blob", "Size": 3, "Sha256": "ab" * 32} for n in range(500)]
    hub.faults = [Fault("/repo/tree", "data", {"Files": files}), Fault("/repo/tree", "data", "try later", 99)]
    assert "Malformed file listing" in refusal(hub, tmp_path)[0]


def test_a_file_that_is_no_parquet_though_it_is_what_was_listed_is_named(hub, tmp_path):
    folder = hub.root / "ns" / "wrong"
    folder.mkdir()
    (folder / "train-[1].parquet").write_text("not parquet")
    with pytest.raises(BadInput, match=r"train-\[1\].parquet of ns/wrong cannot be read: .* is not a parquet file"):
        list(ModelScopeSource("ms", "ns/wrong", None, tmp_path, Columns(), hub.endpoint).files())


def test_the_token_is_sent_to_the_hub_and_shows_up_nowhere_else(hub, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("MODELSCOPE_API_TOKEN", CANARY)
    hub.faults = [Fault("FilePath=", "echo")]
    with caplog.at_level("DEBUG"):
        said, _ = refusal(hub, tmp_path)
    assert "you sent Bearer *** m_session_id=***" in said
    shown = capfd.readouterr()
    written = "".join(path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file())
    assert CANARY not in said + caplog.text + shown.out + shown.err + written


def test_a_password_in_the_endpoint_is_not_shown():
    assert without_user(f"https://me:{CANARY}@hub.example.org:8000/x") == "https://hub.example.org:8000/x"
    assert without_user("https://hub.example.org/@x") == "https://hub.example.org/@x"
