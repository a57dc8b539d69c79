"""`lance-assets promote` on a home of which labels moved: recorded, told to Dagster, refused where nothing waits."""

import dagster as dg
import pytest

from lance_assets.cli.main import main
from lance_assets.store import trials
from lance_assets.store.claims import claim
from lance_assets.store.promotions import promotions
from lance_assets.store.trials import on_trial
from lance_assets_tests.numbered import KEY, A, B, Place


@pytest.fixture
def place(tmp_path, monkeypatch):
    for name in ("LANCE_ASSETS_HOME", "DAGSTER_HOME"):
        monkeypatch.setenv(name, "set by the command, taken back after the test")
    place = Place(tmp_path / "home")
    place.label(A, B)
    return place


@pytest.fixture
def promote(place, capsys):
    def promote(*flags):
        code = main(["promote", *flags, "--home", str(place.home.root)])
        return code, capsys.readouterr()

    return promote


def test_labels_that_moved_are_accepted_by_name_and_reason_and_dagster_is_told(place, promote):
    place.says("2", add=30, below=20)
    place.label(A, B)
    code, said = promote("--column", "score_number", "--reason", "bigger on purpose", "--by", "ann")
    assert code == 0 and "accepted  score_number in 1 batches, by ann" in said.out and A in said.out
    (record,) = promotions(place.root)
    assert (record["column"], record["by"], record["reason"]) == ("score_number", "ann", "bigger on purpose")
    assert record["verdicts"][0]["crossing_share"] == 0.5 and on_trial(place.root, "score_number") == []
    with dg.DagsterInstance.from_config(str(place.home.dagster)) as instance:
        (told,) = instance.fetch_observations(KEY, 5).records
        observation = told.event_log_entry.asset_observation
        assert observation is not None and observation.metadata["promoted_by"].value == "ann"
        key = dg.AssetCheckKey(KEY, "drift")
        found = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
        assert found.event and found.partition == A and "accepted by ann" in found.event.to_json()


def test_where_somebody_works_on_a_batch_the_others_are_accepted_and_told(place, promote, monkeypatch):
    monkeypatch.setattr(trials, "BRIEFLY", 0)
    monkeypatch.setattr(trials, "PATIENTLY", 0)
    place.says("2", add=60, below=80)
    place.label(A, B)
    with claim(place.root, B):
        code, said = promote("--column", "score_number", "--reason", "bigger on purpose", "--by", "ann")
    assert code == 1 and "accepted  score_number in 1 batches" in said.out and f"left      {B}: " in said.out
    with dg.DagsterInstance.from_config(str(place.home.dagster)) as instance:
        (told,) = instance.fetch_observations(KEY, 5).records
        observation = told.event_log_entry.asset_observation
        assert observation is not None and observation.metadata["batches"].value == [A]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--column", "number", "--reason", "because"], "no labels of score_number wait to be accepted"),
        (["--column", "number", "--reason", " "], "a promotion needs a reason"),
        (["--column", "number"], "--reason"),
    ],
)
def test_a_promotion_of_nothing_or_without_a_reason_is_refused_in_one_sentence(place, promote, flags, says):
    code, said = promote(*flags)
    assert code == 2 and said.err.startswith("lance-assets: ") and says in said.err and said.err.count("\n") == 1
    assert promotions(place.root) == []
