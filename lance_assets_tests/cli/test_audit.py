"""`lance-assets audit` on a home whose table has a history."""

import subprocess
import sys

from lance_assets.store.table import open_images
from lance_assets.training.artifacts import MANIFEST
from lance_assets_tests.cli.command import environment, lance_assets
from lance_assets_tests.cli.history import OTHER
from lance_assets_tests.histories import BATCH, CHANGES, FAILS
from lance_assets_tests.labels import SHARP, WORDS

LIGHT = """
import sys
from lance_assets.cli.main import main
codes = [main(["audit", *command.split(), "--home", sys.argv[1]]) for command in sys.argv[2:]]
heavy = {"dagster", "ray", "torch", "transformers", "modelscope"} & set(sys.modules)
assert codes == [0] * len(codes) and not heavy, (codes, heavy)
"""


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


def test_a_version_and_the_card_are_told(root, run):
    newest = open_images(root).version
    found = run(f"audit version {newest} --json").json()
    assert list(found["tags"]) == [run("audit card --json").json()["training_sets"][0]["tag"]]
    assert run("audit card").out[0] == "# Data card of image&#95;dataset"
    assert run("audit card --html").out[-1] == "</body></html>"
