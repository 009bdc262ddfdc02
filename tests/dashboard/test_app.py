"""The frame of the dashboard in a browser."""
from pathlib import Path
from playwright.sync_api import Page, expect


def test_every_page_opens_from_the_navigation(page: Page) -> None:
    for name in ("Compare", "Attention", "Predictions", "Report", "Runs"):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page).to_have_title(f"{name} · attnlab")
