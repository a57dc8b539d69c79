"""The web UI as a person uses it on a fresh home: no command line, only the mouse."""

import re

from playwright.sync_api import expect

RUN_SECONDS = 150
LINEAGE = "a[href='/asset-groups']"  # by its name it is two links: "column_lineage" is an icon of another


def test_discover_batches_then_one_batch_of_everything_with_the_mouse(platform, page):
    graphql, ui = platform.graphql, f"http://127.0.0.1:{platform.port}"
    before = set(graphql.partitions())
    platform.one_more_batch()

    page.goto(f"{ui}/locations/lance_assets/jobs/discover_batches")
    page.get_by_role("tab", name="Launchpad").click()
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url(re.compile(r"/runs/[0-9a-f-]{36}"))
    expect(page.get_by_text("Success", exact=True).first).to_be_visible(timeout=RUN_SECONDS * 1000)
    batch = sorted(set(graphql.partitions()) - before)[0]

    page.locator(LINEAGE).click()
    page.get_by_role("button", name="Materialize all").click()
    dialog = page.get_by_role("dialog").first  # the list of partitions is one inside it
    expect(dialog).to_contain_text("Launch runs to materialize 14 assets")
    dialog.get_by_text("Select a partition or create one").click()
    page.get_by_text(batch, exact=True).first.click()
    page.keyboard.press("Escape")
    expect(dialog).to_contain_text("1 partition")
    launched = set(graphql.runs())
    dialog.get_by_role("button", name="Launch 1 run").click()
    expect(dialog).to_be_hidden()
    (run,) = set(graphql.runs()) - launched
    graphql.succeeded(run, RUN_SECONDS)

    page.goto(f"{ui}/runs/{run}")
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    found = graphql.materializations(run)
    assert set(found) == {"/".join(key) for key in graphql.asset_keys()}
    assert found["score/alignment"]["partition"] == batch


def test_no_sign_up_or_other_dialog_covers_the_first_page(platform, page):
    page.goto(f"http://127.0.0.1:{platform.port}")
    expect(page.locator(LINEAGE)).to_be_visible()
    page.locator(LINEAGE).click()
    expect(page.get_by_role("button", name="Materialize all")).to_be_visible()
    assert page.get_by_role("dialog").count() == 0
    assert page.get_by_text(re.compile("newsletter|sign up|email", re.IGNORECASE)).count() == 0
