"""A run in which nothing can be trained on: the batches keep what they have, and the failure is told once."""

import signal

import pytest
import yaml

from lance_assets_tests.cli.command import RECIPE, kill_when, lance_assets, start
from lance_assets_tests.cli.folders import row, write_jsonl
from lance_assets_tests.picture_server import picture_server

FILTER = "score_caption_quality > 1000"


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ray_address):
    """(server, folder of two files, run, its flags); no row passes the filter."""
    folder = tmp_path_factory.mktemp("tail")
    home, source = folder / "home", folder / "shots"
    with picture_server() as server:
        for name, numbers in (("a.jsonl", range(4)), ("b.jsonl", range(4, 7))):
            write_jsonl(source / name, [row(server.url(n), n) for n in numbers])
        home.mkdir()
        (home / "platform.yaml").write_text(
            yaml.safe_dump({"scorers": [{"name": "caption_quality"}], "sft": {"filter": FILTER}})
        )
        flags = ["run", "--source", f"files:{source}", "--home", home, "--recipe", RECIPE, "--json"]
        yield server, source, lambda *more: lance_assets(*flags, *more, LANCE_ASSETS_RAY_ADDRESS=ray_address), flags


@pytest.fixture(scope="module")
def forgotten(shop):
    """Without --allow-host."""
    server, _, run, _ = shop
    done = run()
    assert server.paths == [], "a server that is not allowed must not be asked for anything"
    return done


@pytest.fixture(scope="module")
def allowed(shop, forgotten):
    server, _, run, _ = shop
    return run("--allow-host", server.host)


@pytest.fixture(scope="module")
def relabelled(shop, allowed):
    """A scorer is added after the files were taken away; one new file is there."""
    server, source, run, _ = shop
    home = source.parent / "home"
    config = yaml.safe_load((home / "platform.yaml").read_text())
    config["scorers"].append({"name": "sharpness"})
    (home / "platform.yaml").write_text(yaml.safe_dump(config))
    for path in source.iterdir():
        path.unlink()
    write_jsonl(source / "c.jsonl", [row(server.url(7), 7)])
    return run()


def test_a_forgotten_allow_host_is_told_with_a_hint(forgotten):
    assert forgotten.code == 1
    assert forgotten.json()["rows"] == {"asked": 7, "stored": 0, "rejected": {"blocked_address": 7}}
    assert "hint      blocked_address: a server with a private address needs --allow-host HOST:PORT" in forgotten.err


def test_with_the_host_allowed_the_next_run_stores_what_was_refused(allowed):
    assert allowed.json()["rows"] == {"asked": 7, "stored": 7, "rejected": {}}
    assert allowed.json()["this_run"]["scorer_calls"] == {"caption_quality": 7}


def test_bad_input_found_by_an_asset_is_one_readable_line_and_exit_code_1(allowed):
    assert allowed.code == 1
    (line,) = allowed.json()["failed"]
    assert line == f"sft_dataset: sft.filter '{FILTER}' selects 0 of 7 rows; training needs two at least"
    assert "Traceback" not in "\n".join(allowed.err)


def test_a_failure_after_the_batches_is_neither_repeated_nor_does_it_repeat_the_batches(allowed):
    assert len(allowed.json()["this_run"]["run_ids"]) == 1


def test_stored_batches_are_relabelled_without_their_source(relabelled):
    summary = relabelled.json()
    assert summary["this_run"]["scorer_calls"] == {"caption_quality": 1, "sharpness": 8}
    assert {name: score["ok"] for name, score in summary["scores"].items()} == {"caption_quality": 8, "sharpness": 8}
    assert [line.partition(":")[0] for line in summary["failed"]] == ["sft_dataset"]


def test_ctrl_c_ends_the_run_and_starts_no_other(shop, relabelled, ray_address, tmp_path):
    server, source, _, flags = shop
    write_jsonl(source / "d.jsonl", [row(server.url(8, "held"), 8)])
    process = start(tmp_path / "log", *flags, LANCE_ASSETS_RAY_ADDRESS=ray_address)
    code = kill_when(process, tmp_path / "log", lambda: "/held/8.jpg" in server.paths, signal.SIGINT)
    lines = (tmp_path / "log").read_text().splitlines()
    assert code == 130
    assert lines[-1] == "lance-assets: interrupted; what is stored stays, the same command goes on from there"
    assert not any("one by one" in line or "sft_dataset" in line for line in lines)
