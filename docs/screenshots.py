"""Pictures of pages of the web UI: what is waited for on a page, and what of it is kept."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from playwright.sync_api import Locator, Page, ViewportSize

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


def lineage(page: Page, ui: str) -> Image.Image:
    """The asset graph with its groups open, cut to what is drawn."""
    groups = {one["groupName"] for one in asked(page, ui, "{assetNodes{groupName}}")["assetNodes"]}
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


def asked(page: Page, ui: str, query: str) -> Any:
    """The data of a GraphQL query."""
    return page.request.post(f"{ui}/graphql", data={"query": query}).json()["data"]


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
