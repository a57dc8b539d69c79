"""Makes the pictures of README with the real web UI, on the home of a finished demo:

lance-assets demo --home DIR && python docs/pictures.py --home DIR [--all FOLDER]

To show labels that are stale, and then labels that moved, it changes the config of a scorer in that home.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from screenshots import Shot, asked, asset, check, lineage, opened

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


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def sensors(page: Page, ui: str) -> list[str]:
    """Names of the sensors of the code location."""
    query = '{sensorsOrError(repositorySelector:{repositoryName:"__repository__",repositoryLocationName:"%s"})'
    found = asked(page, ui, query % LOCATION + "{...on Sensors{results{name}}}}")
    return [one["name"] for one in found["sensorsOrError"]["results"]]


def shots(page: Page, ui: str) -> dict[str, Shot]:
    """What is photographed, by file name; a sensor only where there is one of that name."""
    batches = asked(page, ui, '{assetNodeOrError(assetKey:{path:["image_dataset"]}){...on AssetNode{partitionKeys}}}')
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
