from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Browser, Page, expect
from tests.dashboard.conftest import refuse

Open = Callable[..., Page]
Picture = Callable[[Page, str], None]
#: Milliseconds: the drawing library is imported when the first report is made.
PATIENCE = 120_000


def test_a_report_is_exported_and_opens_without_a_network(
    dashboard: str, open_page: Open, browser: Browser, tmp_path: Path, picture: Picture
) -> None:
    runs = ",".join(f"reverse_{attention}_s{seed}" for attention in ("additive", "dot") for seed in (1, 2))
    page = open_page(f"{dashboard}/#/report?runs={runs}")
    preview = page.frame_locator("iframe")
    expect(preview.get_by_role("heading", level=1)).to_have_text("attention on reverse", timeout=PATIENCE)
    expect(page.locator(".bar")).to_contain_text("4 finished runs of the selected on reverse")
    picture(page, "report_1280")
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("link", name="Download HTML").click()
    file = tmp_path / "report.html"
    download.value.save_as(file)
    context = browser.new_context(offline=True)
    asked: list[str] = []
    try:
        alone = context.new_page()
        alone.on("request", lambda request: asked.append(request.url))
        alone.goto(file.as_uri())
        expect(alone.get_by_role("row")).to_have_count(
            1 + 2 + 2 + 2 + 1 + 2
        )  # results with baselines; the verdict; what differs
        sizes = alone.locator("figure img").evaluate_all("images => images.map(image => image.naturalWidth)")
        assert len(sizes) == 4
        assert min(sizes) > 50  # every figure is inside
        assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    finally:
        context.close()
    with page.expect_download(timeout=PATIENCE) as download:
        page.get_by_role("link", name="Download Markdown and figures").click()
    download.value.save_as(tmp_path / "report.zip")
    with zipfile.ZipFile(tmp_path / "report.zip") as archive:
        assert "report/report.md" in archive.namelist()
        assert "report/figures/learning_curves.svg" in archive.namelist()


def test_the_view_chooses_groups_and_metric(dashboard: str, open_page: Open) -> None:
    page = open_page(f"{dashboard}/#/report?data=reverse&group=attention,seed&metric=test/accuracy")
    preview = page.frame_locator("iframe")
    expect(preview.get_by_role("heading", level=1)).to_have_text("attention, seed on reverse", timeout=PATIENCE)
    expect(preview.get_by_role("columnheader", name="test/accuracy")).to_be_visible()
    expect(preview.get_by_role("cell", name="dot, 2")).to_be_visible()


def test_a_report_that_cannot_be_made_says_why(dashboard: str, open_page: Open) -> None:
    page = open_page("about:blank")
    refuse(page, "report.html", "the disk is full")
    page.goto(f"{dashboard}/#/report?data=reverse")
    expect(page.get_by_role("alert")).to_have_text("the disk is full")
    expect(page.locator("iframe")).to_have_count(0)
    page.evaluate("window.accept()")
    page.get_by_label("Metric").select_option("test/accuracy")
    heading = page.frame_locator("iframe").get_by_role("columnheader", name="test/accuracy")
    expect(heading).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_phone_shows_a_report(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/report?data=reverse", width=390)
    expect(page.frame_locator("iframe").get_by_role("heading", level=1)).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "report_390")
