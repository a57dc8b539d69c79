"""Bad input: exit code 2, one sentence that names what and where, and nothing left behind."""

import re
import threading
from pathlib import Path

import pytest

from lance_assets.cli.main import main
from lance_assets.sources.demo.hub import HubServer
from lance_assets_tests.cli.folders import everything_under, row, write_jsonl, write_parquet

PROGRESS = re.compile(r"\d\d:\d\d:\d\d  ")
GOOD = [row(f"http://example.org/{n}.jpg", n) for n in range(3)]


@pytest.fixture
def refused(tmp_path, monkeypatch, capfd):
    """Runs a command line inside tmp_path and gives the one sentence that it was refused with. The home is new."""
    monkeypatch.chdir(tmp_path)
    for name in ("LANCE_ASSETS_HOME", "DAGSTER_HOME"):  # set and not only deleted, so that what main sets is undone
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in ("LANCE_ASSETS_ROOT", "LANCE_ASSETS_RAY_ADDRESS", "MODELSCOPE_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments):
        before = everything_under(tmp_path)
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        assert code == 2 and out == "", err
        *progress, sentence = err.splitlines()
        assert all(PROGRESS.match(line) for line in progress), err
        assert sentence.startswith("lance-assets: ") and len(sentence) < 600
        assert everything_under(tmp_path) == before, "something was left behind"
        return sentence

    return run


def nothing(folder: Path) -> None:
    """Writes nothing."""


def empty_file(folder):
    write_jsonl(folder / "x.jsonl", [])


def broken_lines(folder):
    write_jsonl(folder / "x.jsonl", ["{broken", "[]"])


def not_parquet(folder):
    empty_file(folder)
    (folder / "x.parquet").write_text("I am a text")


def unreadable(folder):
    (folder / "x.jsonl").symlink_to("/proc/self/mem")  # a regular file that also root cannot read


def good(folder):
    write_jsonl(folder / "x.jsonl", GOOD)
    write_parquet(folder / "y.parquet", GOOD)


def other_columns(folder):
    write_jsonl(folder / "x.jsonl", [{"photo": "http://example.org/1.jpg", "words": "a cat"}])


@pytest.mark.parametrize(
    ("make", "path", "flags", "words"),
    [
        (nothing, "elsewhere", [], "there is no file or folder {shots}/elsewhere"),
        (nothing, "*.jsonl", [], "holds no .arrow, .csv, .json, .jsonl, .parquet file"),
        (nothing, "", [], "{shots} holds no .arrow, .csv, .json, .jsonl, .parquet file"),
        (empty_file, "", [], "{shots} holds no rows: every file there is empty"),
        (empty_file, "x.jsonl", [], "{shots}/x.jsonl holds no rows: every file there is empty"),
        (broken_lines, "", [], "no row of {shots} can be read: x.jsonl holds no valid record"),
        (not_parquet, "", [], "{shots}/x.parquet is not a parquet file"),
        (unreadable, "", [], "{shots}/x.jsonl cannot be read: Input/output error"),
        (good, "x.jsonl", ["--url-column", "nope"], "{shots}/x.jsonl has no column 'nope'; its columns are: global_ca"),
        (
            good,
            "y.parquet",
            ["--caption-column", "no"],
            "{shots}/y.parquet has no column 'no'; its columns are: global",
        ),
        (
            other_columns,
            "",
            [],
            "{shots}/x.jsonl has no image column: looked for opensource_url, image_url, url, image",
        ),
    ],
)
def test_a_source_that_cannot_be_used_is_named(refused, tmp_path, make, path, flags, words):
    shots = tmp_path / "shots"
    shots.mkdir()
    make(shots)
    said = refused("run", "--source", f"files:{shots / path}", "--home", tmp_path / "new" / "home", *flags)
    assert words.format(shots=shots) in said


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rows", "0"], "argument --rows: '0' is not a whole number of at least 1"),
        (["--rows", "-5"], "argument --rows: '-5' is not a whole number of at least 1"),
        (["--rows", "abc"], "argument --rows: 'abc' is not a whole number of at least 1"),
        (["--batch-size", "0"], "argument --batch-size: '0' is not a whole number of at least 1"),
        (["--batch-size", "30000"], "batch_size: Input should be less than or equal to 25000"),
        (["--seed", "-1"], "argument --seed: '-1' is not a whole number of at least 0"),
        (["--allow-host", "http://127.0.0.1:80/"], "allow_hosts: 'http://127.0.0.1:80/' is not host or host:port"),
        (["--recipe", "nope.yaml"], "nope.yaml cannot be read; shipped recipes are demo"),
        (["--recipe", "steps.yaml"], "steps.yaml: LLaMA-Factory has no key max_stepps; max_steps?"),
        (["--recipe", "list.yaml"], "list.yaml must be a mapping of LLaMA-Factory keys"),
        (["--recipe", "broken.yaml"], "broken.yaml is not YAML"),
        (["--colour", "red"], "unrecognized arguments: --colour red (see lance-assets"),
    ],
)
def test_a_flag_that_cannot_be_used_is_named_before_the_source_is_even_looked_at(refused, tmp_path, flags, words):
    (tmp_path / "steps.yaml").write_text("stage: sft\nmax_stepps: 3\n")
    (tmp_path / "list.yaml").write_text("- stage\n")
    (tmp_path / "broken.yaml").write_text("{stage: [sft\n")
    assert words in refused("run", "--source", "files:nowhere", "--home", "new", *flags)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["fly"], "invalid choice: 'fly' (choose from 'run', 'demo', 'status'"),
        (["run"], "the following arguments are required: --source (see lance-assets run --help)"),
        (
            ["run", "--source", "ftp://x"],
            "--source ftp://x: expected demo, modelscope:<owner/name>[@revision], or files",
        ),
        (["run", "--source", "files:"], "--source files:: expected demo, modelscope:"),
        (["run", "--source", "modelscope:name"], "--source modelscope:name: expected demo, modelscope:<owner/name>"),
        (["status", "--home", "new"], "there is no platform at"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_told(refused, arguments, words):
    assert words in refused(*arguments)


def test_a_recipe_called_like_a_folder_here_is_still_the_shipped_one(refused, tmp_path):
    (tmp_path / "demo").mkdir()
    assert "no file or folder" in refused("run", "--source", "files:nowhere", "--recipe", "demo")


@pytest.mark.parametrize(("where", "why"), [("home", "File exists"), ("home/below", "Not a directory")])
def test_a_home_that_cannot_be_written_is_named(refused, tmp_path, where, why):
    (tmp_path / "home").write_text("I am a file")
    write_jsonl(tmp_path / "x.jsonl", GOOD)
    said = refused("run", "--source", "files:x.jsonl", "--home", where)
    assert f"the home {tmp_path / where} cannot be written: {why}" in said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "platform.yaml cannot be read"),
        ("colour: red", "platform.yaml: colour: Extra inputs are not permitted"),
        ("sources: [{id: a, spec: 'ftp://x'}]", "platform.yaml: sources.0.spec: must be demo, modelscope:"),
        ("scorers: [{name: beauty}]", "there is no scorer 'beauty'; there are: sharpness"),
        ("recipe: nope.yaml", "recipe nope.yaml cannot be read"),
        ("allow_hosts: ['a b']", "platform.yaml: allow_hosts: 'a b' is not host or host:port"),
        ("ray: {address: '127.0.0.1:1'}", "no Ray answers at 127.0.0.1:1"),
    ],
)
def test_a_broken_platform_yaml_is_named_and_left_as_it_is(refused, tmp_path, text, words):
    write_jsonl(tmp_path / "x.jsonl", GOOD)
    home = tmp_path / "home"
    home.mkdir()
    (home / "platform.yaml").write_text(text)
    assert words in refused("run", "--source", "files:x.jsonl", "--home", home)


def test_a_hub_that_does_not_answer_is_named_by_its_address(refused, monkeypatch):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:1")
    said = refused("run", "--source", "modelscope:owner/name", "--home", "new")
    assert "the ModelScope hub at http://127.0.0.1:1 cannot be reached" in said


def test_a_repository_that_the_hub_does_not_have_is_named(refused, monkeypatch, tmp_path_factory):
    with HubServer(0, tmp_path_factory.mktemp("hub")) as hub:
        threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        endpoint = f"http://127.0.0.1:{hub.server_address[1]}"
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", endpoint)
        said = refused("run", "--source", "modelscope:owner/name@v1", "--home", "new")
        hub.shutdown()
    assert f"the ModelScope hub at {endpoint} has no data set owner/name at revision v1" in said


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
