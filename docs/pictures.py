"""Makes the pictures of README with the real web UI, on the home of a finished demo:

lance-assets demo --home DIR && python docs/pictures.py --home DIR
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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image, ImageOps
from playwright.sync_api import Page, ViewportSize, sync_playwright

DOCS = Path(__file__).parent
LOOPBACK = "127.0.0.1"
START_SECONDS, STOP_SECONDS = 120, 60
CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
GROUPS = ("ingest", "scores", "training")
#: At this width the graph has room for its boxes, but not for their details: a picture that can be read in README.
LINEAGE_VIEW: ViewportSize = {"width": 2300, "height": 900}
SCORE_VIEW: ViewportSize = {"width": 1200, "height": 1200}
TOOLBAR = 112
MARGIN = 24
CORNER = 4
FRAME = (200, 205, 213)


@contextmanager
def platform(home: Path) -> Iterator[str]:
    """`lance-assets dev` on the home while inside; gives the address of the UI."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("lance-assets")), "dev", "--home", str(home), "--port", str(port)]
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
    expanded = "%2C".join(f"global%40global%3A{group}" for group in GROUPS)
    page.set_viewport_size(LINEAGE_VIEW)
    page.goto(f"{ui}/asset-groups?expanded={expanded}")
    page.get_by_text("evaluation").first.wait_for()
    page.get_by_role("button", name="Hide navigation").click()
    page.wait_for_load_state("networkidle")
    drawn = page.locator("svg:has(foreignObject)").first.bounding_box()
    if drawn is None:
        sys.exit("the page does not show a graph")
    bar = TOOLBAR - min(TOOLBAR, drawn["y"])
    return _picture(page.screenshot(clip={**drawn, "y": drawn["y"] + bar, "height": drawn["height"] - bar}))


def score(page: Page, ui: str, name: str) -> Image.Image:
    """A score column's page down to its numbers, and below it the pictures with the lowest and highest scores."""
    page.set_viewport_size(SCORE_VIEW)
    page.goto(f"{ui}/assets/score/{name}")
    if page.get_by_role("button", name="Hide navigation").is_visible():
        page.get_by_role("button", name="Hide navigation").click()
    page.get_by_alt_text("histogram").wait_for()
    page.wait_for_load_state("networkidle")
    row = page.get_by_role("row").filter(has_text="why").first.bounding_box()
    if row is None:
        sys.exit("the page does not say why the rows were scored")
    top = _picture(
        page.screenshot(clip={"x": 0, "y": 0, "width": SCORE_VIEW["width"], "height": row["y"] + row["height"]})
    )
    page.get_by_text("Show Markdown").first.click()
    dialog = page.get_by_role("dialog").first
    dialog.get_by_role("button", name="Close").wait_for()
    shown = _picture(dialog.screenshot(animations="disabled"))
    below = ImageOps.expand(ImageOps.crop(shown, CORNER), 1, FRAME)
    whole = Image.new("RGB", (top.width, top.height + below.height + 2 * MARGIN), "white")
    whole.paste(top, (0, 0))
    whole.paste(below, ((top.width - below.width) // 2, top.height + MARGIN))
    return whole


def _picture(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png), formats=["PNG"]).convert("RGB")


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, default=Path("lance_home"), help="of a finished demo")
    parser.add_argument("--score", default="alignment", help="the score column to show")
    flags = parser.parse_args()
    if not (flags.home / "dagster").is_dir():
        sys.exit(f"there is no platform at {flags.home}: lance-assets demo --home {flags.home} makes one")
    program = shutil.which("chromium") or sys.exit("the pictures need chromium")
    with platform(flags.home.absolute()) as ui, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=CHROMIUM)
        page = browser.new_page()
        for name, picture in (("lineage", lineage(page, ui)), ("score", score(page, ui, flags.score))):
            file = DOCS / f"{name}.png"
            picture.save(file, "PNG", optimize=True)
            print(f"{file}: {picture.width} x {picture.height}, {file.stat().st_size // 1000} kB")
        browser.close()


if __name__ == "__main__":
    main()
