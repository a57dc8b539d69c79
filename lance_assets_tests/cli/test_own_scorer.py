"""A scorer of one's own, as README shows it: ten lines in a file of the home, one line in platform.yaml."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lance_assets_tests.cli.command import RECIPE, lance_assets
from lance_assets_tests.cli.folders import row, write_jsonl
from lance_assets_tests.picture_server import picture_server
from lance_assets_tests.readme import shown

NOTHING_TO_TRAIN_ON = "score_caption_quality > 1000"


@dataclass
class Shop:
    home: Path
    source: Path
    server: Any
    ray: str

    def run(self) -> dict[str, Any]:
        flags = ["--source", f"files:{self.source}", "--home", self.home, "--recipe", RECIPE, "--json"]
        done = lance_assets("run", *flags, "--allow-host", self.server.host, LANCE_ASSETS_RAY_ADDRESS=self.ray)
        summary = done.json()
        assert [line.partition(":")[0] for line in summary["failed"]] == ["sft_dataset"], "\n".join(done.err)
        return summary

    def add(self, name: str, numbers: range) -> None:
        write_jsonl(self.source / name, [row(self.server.url(n), n) for n in numbers])

    def edit(self, old: str, new: str) -> None:
        text = (self.home / "my_scorers.py").read_text()
        assert text.count(old) == 1
        (self.home / "my_scorers.py").write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def shop(tmp_path_factory, ray_address):
    """What README says, and a filter that no row passes: nothing is trained."""
    folder = tmp_path_factory.mktemp("own-scorer")
    home = folder / "home"
    home.mkdir()
    (home / "my_scorers.py").write_text(shown("python", "def redness"))
    said = yaml.safe_load(shown("yaml", "redness"))
    home.joinpath("platform.yaml").write_text(yaml.safe_dump({**said, "sft": {"filter": NOTHING_TO_TRAIN_ON}}))
    with picture_server() as server:
        yield Shop(home, folder / "shots", server, ray_address)


@pytest.fixture(scope="module")
def first(shop):
    shop.add("a.jsonl", range(6))
    return shop.run()


@pytest.fixture(scope="module")
def grown(shop, first):
    shop.add("b.jsonl", range(6, 10))
    return shop.run()


@pytest.fixture(scope="module")
def bumped(shop, grown):
    shop.edit('version="1"', 'version="2"')
    return shop.run()


def test_the_example_in_readme_is_ten_lines_at_most():
    lines = [line for line in shown("python", "def redness").splitlines() if line.strip() and "import" not in line]
    assert len(lines) <= 10


def test_the_column_is_an_asset_beside_the_built_in_ones_and_every_row_is_labelled(first):
    assert first["scores"]["redness"] == {"version": "1", "ok": 6, "failed": 0, "null": 0}
    assert {"sharpness", "caption_quality", "alignment"} < set(first["scores"])


def test_a_new_batch_costs_exactly_its_rows(grown):
    assert grown["this_run"]["scorer_calls"]["redness"] == 4
    assert set(grown["this_run"]["scorer_calls"].values()) == {4}


def test_another_version_relabels_exactly_the_rows_of_that_column(bumped):
    calls = bumped["this_run"]["scorer_calls"]
    assert {name: count for name, count in calls.items() if count} == {"redness": 10}
    assert bumped["scores"]["redness"] == {"version": "2", "ok": 10, "failed": 0, "null": 0}


def test_a_scorer_file_that_cannot_be_loaded_ends_the_command_with_one_sentence(shop, bumped):
    shop.edit("def redness(", "def redness(:")
    done = lance_assets("run", "--source", f"files:{shop.source}", "--home", shop.home)
    shop.edit("def redness(:", "def redness(")
    assert done.code == 2 and len(done.err) == 1
    assert "my_scorers.py cannot be loaded: SyntaxError" in done.err[0]
