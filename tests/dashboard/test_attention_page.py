from __future__ import annotations

import json
import os
import shutil
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.conftest import serving

Open = Callable[..., Page]
Picture = Callable[[Page, str], None]


def shades(page: Page, number: int = 0) -> list[int]:
    """The pixels of a heat-map, as one row of numbers."""
    return (
        page.locator("canvas.heatmap")
        .nth(number)
        .evaluate("canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]")
    )


def test_a_map_is_scrubbed_through_training(dashboard: str, open_page: Open, sweep: Path) -> None:
    page = open_page(f"{dashboard}/#/attention?run=reverse_additive_s1&site=head.attention")
    maps = page.locator(".maps")
    expect(maps).to_have_attribute("data-epoch", "2")
    described = json.loads((sweep / "reverse_additive_s1" / "attention" / "examples.json").read_text())
    first = " ".join(described["examples"][0]["inputs"])
    expect(page.get_by_label("Example").locator("option:checked")).to_have_text(f"#0 {first}")
    last = shades(page)
    slider = page.get_by_role("slider", name="Epoch")
    slider.focus()
    slider.press("ArrowLeft")
    expect(maps).to_have_attribute("data-epoch", "1")
    slider.press("Home")
    expect(maps).to_have_attribute("data-epoch", "0")
    expect(page.locator(".map .readout")).to_be_visible()
    assert shades(page) != last
    assert "epoch=0" in page.url
    page.reload()  # the link keeps the view
    expect(page.locator(".maps")).to_have_attribute("data-epoch", "0")


def test_a_run_that_is_being_trained_grows_new_epochs(copied_sweep: Path, open_page: Open) -> None:
    run = copied_sweep / "reverse_dot_s1"
    meta = json.loads((run / "meta.json").read_text())
    mine = {"pid": os.getpid(), "host": socket.gethostname()}
    (run / "meta.json").write_text(json.dumps({**meta, "status": "running", **mine}))
    newest = run / "attention" / "epoch_002.npz"
    weights = newest.read_bytes()
    newest.unlink()
    with serving(copied_sweep) as address:
        page = open_page(f"{address}/#/attention?run=reverse_dot_s1")
        maps = page.locator(".maps")
        expect(maps).to_have_attribute("data-epoch", "1")
        newest.write_bytes(weights)
        expect(maps).to_have_attribute("data-epoch", "2", timeout=10_000)
        page.get_by_role("slider", name="Epoch").press("Home")  # who looks at an earlier one is left there
        shutil.copy(newest, newest.with_name("epoch_003.npz"))
        expect(page.get_by_label("Epoch", exact=True)).to_have_attribute("max", "3", timeout=10_000)
        expect(maps).to_have_attribute("data-epoch", "0")


def test_two_runs_are_seen_side_by_side(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/attention?run=reverse_additive_s1")
    page.get_by_label("Beside").select_option("reverse_dot_s1")
    expect(page.locator("canvas.heatmap")).to_have_count(2)
    expect(page.get_by_role("region", name="reverse_dot_s1")).to_be_visible()
    expect(page.locator(".chart.entropy canvas")).to_have_count(2)
    expect(page.locator(".chart.distance canvas")).to_have_count(2)
    boxes = [page.get_by_role("region", name=f"reverse_{name}_s1").bounding_box() for name in ("additive", "dot")]
    assert boxes[0]["y"] == boxes[1]["y"]  # type: ignore[index]
    assert boxes[0]["x"] < boxes[1]["x"]  # type: ignore[index]
    picture(page, "attention_1280")
    page.get_by_role("button", name="Switch between light and dark").click()
    picture(page, "attention_dark")


def test_a_map_is_read_with_the_keyboard(dashboard: str, open_page: Open, sweep: Path) -> None:
    page = open_page(f"{dashboard}/#/attention?run=tsp&site=head.attention&example=1")
    canvas = page.locator("canvas.heatmap")
    expect(canvas).to_be_visible()
    canvas.focus()
    canvas.press("ArrowRight")
    canvas.press("ArrowRight")
    canvas.press("ArrowDown")
    said = json.loads((sweep / "tsp" / "attention" / "epoch_001.json").read_text())["said"][1]
    expect(page.locator(".readout")).to_contain_text(f"said {said[1]} → read 1: 0.")
    assert canvas.get_attribute("aria-label").startswith("weights of 5 queries on 5 items; most weight: ")  # type: ignore[union-attr]


def test_sites_and_heads_are_chosen(dashboard: str, open_page: Open) -> None:
    page = open_page(f"{dashboard}/#/attention?run=tsp")
    expect(page.locator(".maps")).to_have_attribute("data-epoch", "1")
    head = shades(page)
    page.get_by_label("Site").select_option("encoder.layers.1.attention")
    expect(page.locator(".panel")).to_contain_text("none is nearer than another")  # cities are a set
    expect(page.locator("canvas.heatmap")).to_be_visible()
    assert shades(page) != head
    assert "site=encoder.layers.1.attention" in page.url


def test_dates_stand_on_the_axes_of_a_forecast(dashboard: str, open_page: Open) -> None:
    page = open_page(f"{dashboard}/#/attention?run=forecast")
    canvas = page.locator("canvas.heatmap")
    expect(canvas).to_be_visible()
    canvas.focus()
    canvas.press("ArrowRight")
    expect(page.locator(".readout")).to_contain_text("forecast for 2026-01-")


def test_a_phone_shows_everything_below_each_other(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/attention?run=reverse_additive_s1&beside=reverse_dot_s1", width=390)
    expect(page.locator("canvas.heatmap")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "attention_390")


def test_broken_old_and_empty_records_are_shown_as_what_they_are(copied_sweep: Path, open_page: Open) -> None:
    (copied_sweep / "reverse_dot_s1" / "attention" / "examples.json").unlink()
    for file in (copied_sweep / "reverse_dot_s2" / "attention").iterdir():
        file.unlink()
    broken = copied_sweep / "tsp" / "attention" / "epoch_001.npz"
    broken.write_bytes(broken.read_bytes()[:100])
    with serving(copied_sweep) as address:
        page = open_page(f"{address}/#/attention?run=reverse_dot_s1&beside=reverse_dot_s2")
        expect(page.get_by_role("region", name="reverse_dot_s1")).to_contain_text("This record is older")
        expect(page.get_by_role("region", name="reverse_dot_s2")).to_contain_text("This run kept no attention")
        with urllib.request.urlopen(f"{address}/api/runs/tsp/attention") as answer:
            assert "encoder.layers.0.attention" in {site["name"] for site in json.load(answer)["sites"]}
        with pytest.raises(urllib.error.HTTPError) as refusal:
            urllib.request.urlopen(f"{address}/api/runs/tsp/attention/map?epoch=1&site=head.attention&example=0")
        assert "broken or half-written" in json.load(refusal.value)["error"]
