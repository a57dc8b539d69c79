"""LLaMA-Factory's Web UI as `lance-assets webui` opens it: lists the training set, shows its images, trains on it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
import urllib.request
from pathlib import Path
from urllib.error import URLError

import pytest
import yaml
from playwright.sync_api import Locator, Page, expect

from lance_assets.store.files import DataRoot
from lance_assets.store.selection import pin
from lance_assets.training.recipe import FOLDER
from lance_assets.training.stats import VARIABLE, read_stats
from lance_assets.training.tiny import build_tiny
from lance_assets_tests.tables import add_batch
from lance_assets_tests.ui.listeners import Watch
from lance_assets_tests.ui.platform import COMMAND, QUICK, free_port
from lance_assets_tests.unit.training_runs import every_row_once

pytest.importorskip("llamafactory", reason="needs the extra train")

START_SECONDS, TRAIN_SECONDS = 120, 180
ROWS, BATCH = 24, 4


@pytest.fixture(scope="module")
def manifest(home: Path):
    root = DataRoot(home / "data")
    add_batch(root, "a", ROWS, fragments=2)
    return pin(root, None, 0.2, [])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("webui")
    build_tiny(home / "models" / "tiny", [f"Picture {n}." for n in range(ROWS)])
    recipe = yaml.safe_load((FOLDER / "demo.yaml").read_text()) | QUICK
    del recipe["max_steps"]
    recipe |= {"num_train_epochs": 1.0, "per_device_train_batch_size": BATCH, "save_steps": 100}
    (home / "quick.yaml").write_text(yaml.safe_dump(recipe))
    (home / "platform.yaml").write_text(yaml.safe_dump({"recipe": str(home / "quick.yaml")}))
    return home


@pytest.fixture(scope="module")
def webui(home: Path, manifest):
    """(address, process); ended by Ctrl-C."""
    port, log = free_port(), home / "webui.log"
    environment = {**os.environ, VARIABLE: str(home / "seen.jsonl"), "OMP_NUM_THREADS": "2"}
    command = [str(COMMAND), "webui", "--home", str(home), "--port", str(port)]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=stream)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)  # between two looks
        with Watch(process.pid) as watch:
            yield f"http://127.0.0.1:{port}", watch
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def answers(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).status == 200
    except (URLError, ConnectionError):
        return False


def test_the_training_set_is_listed_shown_with_its_images_and_trained_on(
    webui, home: Path, manifest, page: Page
) -> None:
    address, _ = webui
    page.goto(address)
    expect(seen(page.get_by_label("Model path"))).to_have_value(str(home / "models" / "tiny"))

    seen(page.get_by_label("Dataset", exact=True)).click()
    page.get_by_role("option", name=f"{manifest['tag']}-train").click()
    page.get_by_role("button", name="Preview dataset").click()
    pictures = page.get_by_alt_text("image of a row")
    expect(pictures).to_have_count(2)
    assert pictures.first.evaluate("image => image.naturalWidth") == 32
    expect(seen(page.get_by_label("Count", exact=True))).to_have_value(str(manifest["rows"]["train"]))
    seen(page.get_by_text("Close", exact=True)).click()

    seen(page.get_by_label("Config path")).click()
    page.get_by_role("option", name="recipe.yaml").click()
    page.get_by_role("button", name="Load arguments").click()
    expect(seen(page.get_by_label("Compute type"))).to_have_value("fp32")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(seen(page.get_by_text(re.compile(r"^(Finished|Failed)\."))).first).to_be_visible(
        timeout=TRAIN_SECONDS * 1000
    )

    (output,) = home.glob("webui/saves/Custom/full/train_*")
    assert (output / "model.safetensors").exists()
    rows = read_stats(home / "seen.jsonl")["seen"]
    assert rows == {f"{manifest['tag']}-train": every_row_once(manifest)}


def seen(found: Locator) -> Locator:
    """Of the tabs' fields with one name, the one of the tab that is open."""
    return found.filter(visible=True)


def test_it_listens_on_loopback_alone(webui) -> None:
    _, watch = webui
    assert watch.seen and watch.elsewhere() == []
