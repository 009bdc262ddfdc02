"""The frame of the dashboard: what it answers, and how it looks in a browser."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from starlette.testclient import TestClient
from tests.dashboard.conftest import COMMON, serving
from tests.dashboard.records import write_run

from attnlab.dashboard.app import create_app


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    write_run(tmp_path / "a")
    return TestClient(create_app(tmp_path), base_url="http://127.0.0.1")


def test_an_unchanged_answer_is_not_sent_again(client: TestClient) -> None:
    first = client.get("/api/runs")
    assert [row["id"] for row in first.json()["rows"]] == ["a"]
    again = client.get("/api/runs", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_review_is_written_beside_the_record(client: TestClient, tmp_path: Path) -> None:
    answer = client.put("/api/runs/a/review", json={"tags": ["paper"]})
    assert answer.json()["tags"] == ["paper"]
    assert '"paper"' in (tmp_path / "a" / "review.json").read_text()


def test_what_cannot_be_done_is_said_in_a_sentence(client: TestClient, tmp_path: Path) -> None:
    answer = client.put("/api/runs/b/review", json={})
    assert (answer.status_code, answer.json()) == (404, {"error": f"{tmp_path} has no run b"})
    answer = client.put("/api/runs/a/review", json={"stars": 5})
    assert (answer.status_code, answer.json()["error"][:21]) == (400, "a review has no stars")


def test_another_site_can_neither_read_nor_write(client: TestClient, tmp_path: Path) -> None:
    assert client.get("/api/runs", headers={"Host": "evil.example"}).status_code == 400
    form = client.put("/api/runs/a/review", content='{"note": "x"}', headers={"Content-Type": "text/plain"})
    assert form.status_code == 400
    assert not (tmp_path / "a" / "review.json").exists()
    for path in ("/../../../etc/passwd", "/%2e%2e/%2e%2e/app.py"):
        assert client.get(path).status_code == 404


def test_every_page_opens_from_the_navigation(page: Page) -> None:
    for name in ("Compare", "Attention", "Predictions", "Report", "Runs"):
        page.get_by_role("navigation").get_by_role("link", name=name).click()
        expect(page).to_have_title(f"{name} · attnlab")
        expect(page.get_by_role("link", name=name)).to_have_attribute("aria-current", "page")


def test_the_theme_follows_the_system_and_then_the_button(dashboard: str, open_page: Callable[..., Page]) -> None:
    page = open_page(dashboard, dark=True)
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    page.get_by_role("button", name="Switch between light and dark").click()
    expect(root).to_have_attribute("data-theme", "light")
    page.reload()
    expect(root).to_have_attribute("data-theme", "light")


def test_links_keep_the_selection_from_page_to_page(dashboard: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{dashboard}/#/runs?runs=tsp,forecast&sort=value")
    page.get_by_role("navigation").get_by_role("link", name="Compare").click()
    expect(page).to_have_url(re.compile(r"#/compare\?runs=tsp%2Cforecast$"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"sort=value"))
    expect(page.get_by_role("row", selected=True)).to_have_count(2)


@contextmanager
def training(folder: Path) -> Iterator[None]:
    """A training in a process of its own, as a person starts it. It has no end of its own; it is ended here."""
    program = Path(sys.executable).with_name("attnlab")
    endless = ["data=reverse", "encoder=gru", *COMMON, "trainer.max_steps=-1", "trainer.max_epochs=100000"]
    words = [program, "train", *endless, f"hydra.run.dir={folder}"]
    with subprocess.Popen(words, cwd=folder.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield
            assert process.poll() is None  # all that was seen was seen while it ran
        finally:
            process.kill()


def test_every_page_follows_a_training(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    with serving(tmp_path) as address:
        page = open_page(address)
        expect(page.get_by_text("There are no runs here yet")).to_be_visible()
        with training(tmp_path / "live"):
            expect(page.locator('tr[data-id="live"]')).to_contain_text("running", timeout=60_000)
            page.get_by_role("link", name="Compare", exact=True).click()
            said = page.get_by_text(re.compile(r"1 curve up to step \d"))
            expect(said).to_be_visible()
            expect(page.locator(".panel canvas").first).to_be_visible()
            expect(said).not_to_have_text(said.inner_text())
            page.goto(f"{address}/#/attention?run=live")
            maps = page.locator(".maps")
            expect(maps).to_have_attribute("data-epoch", re.compile(r"\d"))
            expect(maps).not_to_have_attribute("data-epoch", maps.get_attribute("data-epoch") or "")
            expect(page.locator("canvas.heatmap")).to_be_visible()
