"""Makes the pictures of README with the real web UI, on the home of a finished demo:

lance-assets demo --home DIR && python docs/pictures.py --home DIR [--all FOLDER]

To show labels that are stale, and then labels that moved, it changes the config of a scorer in that home.
"""

from __future__ import annotations

import argparse
import io
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Locator, Page, ViewportSize, sync_playwright

from lance_assets.scoring.registry import DEFAULT
from lance_assets.settings import load_config, save_config, validated

DOCS = Path(__file__).parent
COMMAND = str(Path(sys.executable).with_name("lance-assets"))
LOOPBACK = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 120, 60
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
LOCATION = "lance_assets"
#: What README shows; the others go to the folder of --all.
BEST = ("lineage", "score", "drift", "evaluation")
#: The column whose labels are made to move: captions of the demo have fewer words than this.
MOVED, CHANGED = "caption_quality", {"full_words": 60}
STALE_SECONDS = 150
#: At this width the graph has room for its boxes, but not for their details: a picture that can be read in README.
LINEAGE_VIEW: ViewportSize = {"width": 2300, "height": 900}
VIEW: ViewportSize = {"width": 1300, "height": 1700}
#: Rows of tables on a page of which the schema is short.
MANY_ROWS = 24
#: Its icons reach down to the lower end of every page.
SIDE_BAR = 70
TOOLBAR = 112
MARGIN = 24
CORNER = 4
FRAME = (200, 205, 213)

Shot = Callable[[Page, str], Image.Image]


@contextmanager
def platform(home: Path) -> Iterator[str]:
    """`lance-assets dev` on the home while inside; gives the address of the UI."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    command = [COMMAND, "dev", "--home", str(home), "--port", str(port)]
    with subprocess.Popen(command, cwd=DOCS.parent) as dev:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                if dev.poll() is not None or time.monotonic() > deadline:
                    sys.exit("lance-assets dev did not start")
                time.sleep(0.5)  # between two knocks
            yield f"http://{LOOPBACK}:{port}"
        finally:
            dev.send_signal(signal.SIGINT)
            dev.wait(STOP_SECONDS)


def lineage(page: Page, ui: str) -> Image.Image:
    """The asset graph with its groups open, cut to what is drawn."""
    groups = {one["groupName"] for one in _asked(page, ui, "{assetNodes{groupName}}")["assetNodes"]}
    expanded = "%2C".join(f"global%40global%3A{group}" for group in sorted(groups))
    page.set_viewport_size(LINEAGE_VIEW)
    page.goto(f"{ui}/asset-groups?expanded={expanded}")
    page.get_by_text("evaluation").first.wait_for()
    _settled(page)
    drawn = page.locator("svg:has(foreignObject)").first.bounding_box()
    if drawn is None:
        sys.exit("the page does not show a graph")
    bar = TOOLBAR - min(TOOLBAR, drawn["y"])
    return _picture(page.screenshot(clip={**drawn, "y": drawn["y"] + bar, "height": drawn["height"] - bar}))


def asset(path: str, last: str, dialog: str | None = None) -> Shot:
    """The overview of an asset down to the metadata `last`, and below it what a click on `Show Markdown` beside
    `dialog` opens."""

    def shot(page: Page, ui: str) -> Image.Image:
        _open(page, f"{ui}/assets/{path}")
        _key(page, last).wait_for()
        columns = page.get_by_text("Columns", exact=True)
        if columns.is_visible() and page.get_by_role("row").count() > MANY_ROWS:
            columns.click()  # a long schema would hide everything else
        _settled(page)
        row = _key(page, last).bounding_box()
        if row is None:
            sys.exit(f"the page of {path} does not show {last}")
        height = min(row["y"] + row["height"] + CORNER, VIEW["height"])
        top = _picture(page.screenshot(clip={"x": 0, "y": 0, "width": VIEW["width"], "height": height}))
        return top if dialog is None else _with_dialog(page, top, dialog)

    return shot


def opened(path: str, until: str) -> Shot:
    """A page as it is, cut to what it shows."""

    def shot(page: Page, ui: str) -> Image.Image:
        _open(page, f"{ui}/{path}")
        page.get_by_text(until).first.wait_for()
        _settled(page)
        return _cropped(page)

    return shot


def check(path: str, name: str, dialog: str) -> Shot:
    """A check of an asset with its last evaluation, without plots, and below it what `Show Markdown` opens."""

    def shot(page: Page, ui: str) -> Image.Image:
        _open(page, f"{ui}/assets/{path}?view=checks&checkDetail={name}")
        page.get_by_text(dialog).first.wait_for()
        _settled(page)
        plots = page.get_by_text("Plots", exact=True).bounding_box()
        height = plots["y"] - MARGIN if plots else VIEW["height"]
        top = _picture(page.screenshot(clip={"x": 0, "y": 0, "width": VIEW["width"], "height": height}))
        return _with_dialog(page, top, dialog)

    return shot


def _key(page: Page, name: str) -> Locator:
    """The row of a metadata table."""
    return page.get_by_role("row").filter(has=page.get_by_text(name, exact=True)).first


def _open(page: Page, address: str) -> None:
    page.set_viewport_size(VIEW)
    page.goto(address)


def _settled(page: Page) -> None:
    """Without the side bar, and with everything loaded."""
    page.wait_for_load_state("networkidle")
    if page.get_by_role("button", name="Hide navigation").is_visible():
        page.get_by_role("button", name="Hide navigation").click()
    page.wait_for_load_state("networkidle")


def _with_dialog(page: Page, top: Image.Image, name: str) -> Image.Image:
    """What a click on `Show Markdown` beside a metadata opens, below a picture of the page."""
    _key(page, name).get_by_text("Show Markdown").first.click()
    dialog = page.get_by_role("dialog").first
    dialog.get_by_role("button", name="Close").wait_for()
    shown = _picture(dialog.screenshot(animations="disabled"))
    page.keyboard.press("Escape")
    return _above(top, ImageOps.expand(ImageOps.crop(shown, CORNER), 1, FRAME))


def _cropped(page: Page) -> Image.Image:
    """The page without what is the same as its last line of pixels: the empty space at its lower end."""
    whole = _picture(page.screenshot(animations="disabled"))
    lines = np.asarray(whole)[:, SIDE_BAR:]
    used = np.flatnonzero((lines != lines[-1]).any(axis=(1, 2)))
    return whole.crop((0, 0, whole.width, min(whole.height, int(used.max(initial=0)) + MARGIN)))


def _above(top: Image.Image, below: Image.Image) -> Image.Image:
    width = max(top.width, below.width)
    whole = Image.new("RGB", (width, top.height + below.height + 2 * MARGIN), "white")
    whole.paste(top, (0, 0))
    whole.paste(below, ((width - below.width) // 2, top.height + MARGIN))
    return whole


def _picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png), formats=["PNG"]).convert("RGB")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def _asked(page: Page, ui: str, query: str) -> Any:
    return page.request.post(f"{ui}/graphql", data={"query": query}).json()["data"]


def sensors(page: Page, ui: str) -> list[str]:
    """Names of the sensors of the code location."""
    query = '{sensorsOrError(repositorySelector:{repositoryName:"__repository__",repositoryLocationName:"%s"})'
    found = _asked(page, ui, query % LOCATION + "{...on Sensors{results{name}}}}")
    return [one["name"] for one in found["sensorsOrError"]["results"]]


def shots(page: Page, ui: str) -> dict[str, Shot]:
    """What is photographed, by file name; a sensor only where there is one of that name."""
    batches = _asked(page, ui, '{assetNodeOrError(assetKey:{path:["image_dataset"]}){...on AssetNode{partitionKeys}}}')
    batch = batches["assetNodeOrError"]["partitionKeys"][0]
    return {
        "lineage": lineage,
        "catalog": opened("assets", "sft_dataset"),
        "images": asset("image_dataset", "rejected", "samples"),
        "partitions": opened(f"assets/image_dataset?view=partitions&partition={batch}", "rows_stored"),
        "score": asset("score/alignment", "why", "lowest_and_highest"),
        "sft_dataset": asset("sft_dataset", "manifest"),
        "checkpoint": asset("qwen_vl_checkpoint", "loss_curve", "loss_curve"),
        "evaluation": asset("evaluation", "facts"),
        **{
            sensor: opened(f"locations/{LOCATION}/sensors/{sensor}", "Frequency")
            for sensor in sensors(page, ui)
            if sensor in ("relabel", "freshness")
        },
    }


def make_stale(home: Path) -> None:
    """caption_quality wants longer captions from now on; nothing relabels it before it was photographed."""
    platform_yaml = home / "platform.yaml"
    config = load_config(platform_yaml, environment=False)
    said = config.model_dump()
    said["scorers"] = [{"name": name, "config": CHANGED if name == MOVED else {}} for name in DEFAULT]
    if "automation" in said:
        said["automation"] |= {"relabel": False, "training_set": False}
    save_config(platform_yaml, validated(said, str(platform_yaml)))


def relabel(home: Path) -> None:
    """Scores what is stale. The training set refuses the new labels, so the command fails."""
    subprocess.run([COMMAND, "demo", "--home", str(home)], cwd=DOCS.parent, check=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path("lance_home"), help="of a finished demo")
    parser.add_argument("--all", type=Path, metavar="FOLDER", help="also the pictures that README does not show")
    flags = parser.parse_args()
    if not (flags.home / "dagster").is_dir():
        sys.exit(f"there is no platform at {flags.home}: lance-assets demo --home {flags.home} makes one")
    program = shutil.which("chromium") or sys.exit("the pictures need chromium")
    home = flags.home.absolute()
    with platform(home) as ui, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        page = browser.new_page()
        for name, shot in shots(page, ui).items():
            keep(name, shot, page, ui, flags.all)
        make_stale(home)
        fresh = opened(f"assets/score/{MOVED}?view=checks&checkDetail=fresh", "scored with another config")
        page.set_default_timeout(STALE_SECONDS * 1000)  # until the sensor looks again
        keep("fresh", fresh, page, ui, flags.all)
        relabel(home)
        keep("drift", check(f"score/{MOVED}", "drift", "largest_moves"), page, ui, flags.all)
        browser.close()


def keep(name: str, shot: Shot, page: Page, ui: str, others: Path | None) -> None:
    """Takes a picture and writes it: for README beside this file, otherwise to `others`, if anywhere."""
    folder = DOCS if name in BEST else others
    if folder is None:
        return
    picture, file = shot(page, ui), folder / f"{name}.png"
    folder.mkdir(parents=True, exist_ok=True)
    picture.save(file, "PNG", optimize=True)
    print(f"{file}: {picture.width} x {picture.height}, {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
