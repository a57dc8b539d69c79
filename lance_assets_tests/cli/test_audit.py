"""`lance-assets audit` and `maintain`, the installed commands, on a home whose table has a history."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lance_assets.cli.main import main
from lance_assets.cli.status import words
from lance_assets.settings import Home
from lance_assets.store.claims import claim
from lance_assets.store.columns import column_file
from lance_assets.store.files import DataRoot
from lance_assets.store.provenance import find
from lance_assets.store.selection import pin
from lance_assets.store.table import batch_fragments, open_images
from lance_assets.training.artifacts import LATEST, MANIFEST, SUMMARY
from lance_assets_tests.cli.command import Ended, environment, lance_assets
from lance_assets_tests.cli.folders import everything_under
from lance_assets_tests.histories import BATCH, CHANGES, FAILS, eventful
from lance_assets_tests.labels import SHARP, WORDS, Labeller
from lance_assets_tests.tables import add_batch

OTHER = "other-0123abcd-0-4"
LIGHT = """
import sys
from lance_assets.cli.main import main
codes = [main(["audit", *command.split(), "--home", sys.argv[1]]) for command in sys.argv[2:]]
heavy = {"dagster", "ray", "torch", "transformers", "modelscope"} & set(sys.modules)
assert codes == [0] * len(codes) and not heavy, (codes, heavy)
"""


@pytest.fixture
def home(tmp_path) -> Path:
    """A home with the eventful table, and a batch that nobody labelled."""
    place = Home(tmp_path / "home", tmp_path / "home" / "data")
    place.create()
    eventful(root_of(place.root))
    add_batch(root_of(place.root), OTHER, 4, fragments=2)
    place.platform_yaml.write_text(f"scorers: [{{name: sharpness}}]\nsft: {{filter: {SHARP.column} >= 0}}\n")
    checkpoint_of(place, pin(root_of(place.root), f"{SHARP.column} >= 0", 0.1, [SHARP.column]))
    return place.root


def checkpoint_of(home: Home, manifest: dict[str, Any]) -> None:
    """The files of a checkpoint named `one`."""
    folder = home.checkpoints / "one" / "model"
    folder.mkdir(parents=True)
    summary = {"path": str(folder), "base": "tiny", "run_id": "trained", "tag": manifest["tag"], "recipe_sha256": "0"}
    summary |= {"steps": 2, "seconds": 1.0, "loss_first": 2.0, "loss_last": 1.0, "reader": {}}
    for name, said in ((SUMMARY, summary), (MANIFEST, manifest)):
        (folder / name).write_text(json.dumps(said))
    (home.checkpoints / LATEST).write_text(json.dumps(summary))


def root_of(home: Path) -> DataRoot:
    return DataRoot(home / "data")


def damage(home: Path) -> None:
    """Spoils the file of score_sharp that answers for row 1."""
    root = root_of(home)
    dataset = open_images(root)
    [place] = find(dataset, FAILS)
    file = column_file(dataset, dataset.get_fragment(place.fragment), SHARP.column)
    (root.folder / "images.lance/data" / str(file)).write_bytes(b"rubbish")


@pytest.fixture
def run(home, capfd):
    """Runs a command line on the home in this process: exit code, the lines of stdout, those of stderr."""

    def run(command: str) -> Ended:
        code = main([*command.split(), "--home", str(home)])
        out, err = capfd.readouterr()
        return Ended(code, out.splitlines(), err.splitlines())

    return run


def test_audit_answers_alike_before_and_after_compaction_and_cleanup(home, run):
    def made():
        ended = run(f"audit row {FAILS} --json")
        assert ended.code == 0 and len(ended.out) == 1
        return {key: ended.json()["scores"][SHARP.column]["made"][key] for key in ("run_id", "version", "scored_at")}

    before = made()
    assert before["run_id"] == "second"
    compacted = lance_assets("maintain", "compact", "--home", home, "--json")
    assert compacted.code == 0 and {one["after"] for one in compacted.json()["compacted"]} == {1}
    assert any(f"{BATCH}: 2 -> 1 fragments" in line and "rows/s" in line for line in compacted.err)
    cleaned = run("maintain cleanup --older-than 0 --json")
    assert cleaned.code == 0 and cleaned.json()["versions"] > 5
    assert made() == before
    ended = run("audit column sharp --json")
    assert [one["rows"]["ok"] for one in ended.json()["makers"]] == [10] and ended.json()["never_scored"] == 4
    ended = run("maintain verify --deep")
    assert ended.code == 0 and ended.out[-1].endswith("nothing is wrong")


def test_audit_speaks_to_people_too(home, run):
    ended = run(f"audit row {CHANGES}")
    assert ended.code == 0 and ended.err == []
    assert [line.split()[0] for line in ended.out[-2:]] == [SHARP.column, WORDS.column]
    ended = lance_assets("audit", "column", SHARP.column, LANCE_ASSETS_HOME=str(home))
    assert ended.code == 0 and ended.out[-1].split()[:4] == ["sharp", "1", "c0ffee", "10"]


def test_an_audit_imports_neither_dagster_nor_ray_nor_torch(home):
    asked = [f"row {FAILS}", "column sharp", f"row {CHANGES} --json", f"row {FAILS} --why", "version 5"]
    asked += ["checkpoint one", "stale", "card", "card --html"]
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, str(home), *asked], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_stale_says_what_the_daemon_would_score_and_which_columns_are_paused(home, run):
    (home / "own.py").write_text("def sharp(item):\n    return 1.0\n")
    entries = "[{name: exposure}, {name: sharp, uses: 'own:sharp', version: '2'}]"
    (home / "platform.yaml").write_text(f"scorers: {entries}\nautomation: {{paused: [exposure]}}\n")
    said = run("audit stale --json").json()
    assert said["rows"] == 14 and said["batches"] == 2
    assert said["columns"]["exposure"] == {"stale": {"new": 14}, "batches": [BATCH, OTHER], "paused": True}
    assert said["columns"]["sharp"] == {"stale": {"new": 4, "version": 10}, "batches": [BATCH, OTHER], "paused": False}
    ended = run("audit stale")
    assert ended.out[-1].split() == ["sharp", "14", "2", "never", "scored", "4,", "scorer", "version", "10"]


def test_a_kind_that_needs_a_name_or_none_says_so(run):
    assert run("audit stale sharp").err == ["lance-assets: audit stale needs no name (see lance-assets audit --help)"]
    assert run("audit row").err == ["lance-assets: audit row needs ID (see lance-assets audit --help)"]


def test_a_row_says_why_it_trains_and_which_checkpoint_saw_it(home, run):
    found = run(f"audit row {FAILS} --why --json").json()
    [seen] = found["checkpoints"]
    assert seen["path"] == str(home / "checkpoints" / "one" / "model")
    assert found["why"]["outcome"] == {"train": "train", "test": "held_out"}[seen["side"]]
    assert found["why"]["pinned"]["side"] == seen["side"]
    never = run(f"audit row {OTHER}/0 --why")
    assert any(line.startswith("because    score_sharp >= 0 is NULL") for line in never.out)


def test_a_checkpoint_is_found_by_its_name_or_its_folder(home, run):
    for name in ("one", home / "checkpoints" / "one", home / "checkpoints" / "one" / "model"):
        found = run(f"audit checkpoint {name} --json").json()
        assert found["table"]["same_rows"] is True and found["run_id"] == "trained"


def test_a_damaged_manifest_spoils_the_answer_about_its_checkpoint_only(home, run):
    (home / "checkpoints" / "one" / "model" / MANIFEST).write_text("{")
    [seen] = run(f"audit row {FAILS} --json").json()["checkpoints"]
    assert seen["side"] is None and "is not JSON" in seen["unknown"]
    assert "is not JSON" in run("audit card --json").json()["checkpoints"][0]["tag"]


def test_a_version_and_the_card_are_told(home, run):
    newest = open_images(root_of(home)).version
    found = run(f"audit version {newest} --json").json()
    assert list(found["tags"]) == [run("audit card --json").json()["training_sets"][0]["tag"]]
    assert run("audit card").out[0] == "# Data card of image&#95;dataset"
    assert run("audit card --html").out[-1] == "</body></html>"


def test_status_tells_the_daemon_the_last_training_set_and_the_last_checkpoint(home):
    ended = lance_assets("status", "--home", home, "--json")
    assert ended.code == 0, ended.err
    found = ended.json()
    assert found["daemon"]["alive"] is False and found["queue"]["backfills"] == [] and found["paused"] == []
    assert found["training_set"]["tag"] == found["checkpoint"]["tag"] and found["checkpoint"]["beats_base"] is None
    assert {"alert_on_failure", "nightly_maintenance"} <= {one["name"] for one in found["automation"]}
    said = words(found)
    assert any(line.startswith("daemon    NOT running, never seen") for line in said)
    assert any(line.startswith("tuned     ") and line.endswith("not evaluated") for line in said)


def test_verify_names_the_cells_to_relabel_and_they_are_relabelled(home, run):
    damage(home)
    ended = run("maintain verify --relabel")
    [line] = [line for line in ended.out if line.startswith("relabel")]
    assert ended.code == 1 and SHARP.column in line and BATCH in line and "unreadable" in line
    assert run("maintain verify --json").json()["clean"] is False
    labeller = Labeller(root_of(home))
    labeller(BATCH, SHARP, WORDS)
    assert labeller.calls == [(SHARP.column, batch_fragments(open_images(root_of(home)), BATCH)[0], 5)]
    ended = run("maintain verify --json")
    assert (ended.code, ended.json()["clean"], ended.json()["problems"]) == (0, True, [])


def test_compaction_of_one_batch_leaves_the_others_alone(home, run):
    assert run(f"maintain compact --batch {BATCH}").code == 0
    dataset = open_images(root_of(home))
    assert [len(batch_fragments(dataset, key)) for key in (BATCH, OTHER)] == [1, 2]
    assert run(f"maintain compact --batch {BATCH}").out == ["nothing to compact"]


def test_a_batch_that_somebody_writes_is_left_alone_by_cleanup(home, run):
    root = root_of(home)
    with claim(root, BATCH):
        open_images(root).tags.create(f"hold-{BATCH}", open_images(root).version)
        assert f"left alone  {BATCH}: somebody works on it" in run("maintain cleanup --older-than 0").out
    assert run("maintain cleanup --older-than 0 --json").json()["busy"] == []


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("audit row nope", "no row has the id 'nope': 14 are stored, such as"),
        ("audit column nope", "there is no score column 'nope' at .*: there are sharp, words"),
        ("audit table x", "invalid choice: 'table'"),
        ("audit row", "audit row needs ID"),
        ("audit card x", "audit card needs no name"),
        ("audit column sharp --why", "--why belongs to audit row, not to audit column"),
        ("audit row x --html", "--html belongs to audit card"),
        ("audit version x", "'x' is not the number of a version"),
        ("audit version 99", "there is no version 99 of"),
        ("audit checkpoint nowhere", "nowhere is no checkpoint of this platform"),
        ("maintain compact --deep", "--deep belongs to maintain verify, not to maintain compact"),
        ("maintain verify --older-than 3", "--older-than belongs to maintain cleanup"),
        ("maintain cleanup --older-than soon", "'soon' is not a whole number of days"),
        ("maintain compact --rows 0", "'0' is not a whole number of at least 1"),
        ("maintain compact --batch nope", "--batch nope: no row of such a batch is stored at"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(home, run, command, said):
    before = everything_under(home)
    ended = run(command)
    assert ended.code == 2 and ended.out == [] and len(ended.err) == 1 and re.search(said, ended.err[0])
    assert everything_under(home) == before


@pytest.mark.parametrize(
    "command",
    [
        "audit row x",
        "audit column x",
        "audit card",
        "audit version 1",
        *(f"maintain {act}" for act in ("compact", "verify")),
    ],
)
def test_a_home_that_is_not_there_is_told_and_not_made(tmp_path, capfd, command):
    assert main([*command.split(), "--home", str(tmp_path / "none")]) == 2
    assert str(tmp_path / "none") in capfd.readouterr().err
    assert not (tmp_path / "none").exists()
