from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from tests.dashboard.conftest import COMMON, serving

from attnlab import cli
from attnlab.runs.predictions import PredictionRecord

Open = Callable[..., Page]
Picture = Callable[[Page, str], None]


def test_a_tour_is_stepped_through(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/predictions?run=tsp")
    tour = page.locator("svg.tour")
    expect(tour).to_have_attribute("data-legs", "5")  # all of it
    expect(tour.locator("line.target")).to_have_count(5)
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    slider.press("Home")
    expect(tour).to_have_attribute("data-legs", "0")
    expect(page.locator(".tourbox .readout")).to_contain_text("chooses")
    for _ in range(3):
        page.get_by_role("button", name="Step: next").click()
    expect(tour).to_have_attribute("data-legs", "2")
    expect(tour.locator("line.leg")).to_have_count(2)
    assert tour.locator("circle.weight").count() >= 1  # what the decoder looks at
    chosen = re.search(
        r"at (\d), chooses (\d) with weight (0\.\d+|1\.000)", page.locator(".tourbox .readout").inner_text()
    )
    assert chosen
    assert page.locator(".bars > span").first.inner_text() == chosen[2]  # the heaviest is chosen
    picture(page, "predictions_tour_1280")
    assert "step=3" in page.url
    page.reload()
    expect(page.locator("svg.tour")).to_have_attribute("data-legs", "2")


SHAPES = {"hull": "convex_hull", "triangulation": "delaunay"}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on hulls and one on triangulations, each of five points."""
    folder = tmp_path_factory.mktemp("shapes")
    for name, data in SHAPES.items():
        words = [f"data={data}", "data.num_points=5", "encoder=transformer", "trainer.max_epochs=1", *COMMON]
        assert cli.run(["train", *words, f"hydra.run.dir={folder / name}"]) == 0
    return folder


def test_hulls_and_triangulations_are_stepped_through_to_their_end(shapes: Path, open_page: Open) -> None:
    with serving(shapes) as address:
        for name in SHAPES:
            page = open_page(f"{address}/#/predictions?run={name}")
            drawing, readout = page.locator("svg.tour"), page.locator(".tourbox .readout")
            panel = page.get_by_role("region", name="prediction")
            expect(drawing).to_be_visible()
            position = int(panel.get_attribute("data-position") or -1)
            kept = PredictionRecord(shapes / name)
            example = kept.example(position)
            scores = [one["scores"]["accuracy"] for one in kept.described["examples"]]
            assert scores[position] == min(scores)  # the worst first
            expect(drawing.locator(".target")).to_have_count(len(example["true_pieces"]))
            expect(drawing).to_have_attribute("data-legs", str(len(example["pieces"])))
            wrong = sum(not piece["right"] for piece in example["pieces"])
            expect(drawing.locator(".leg.wrong")).to_have_count(wrong)
            steps = [str(place) if place >= 0 else "■" for place in example["said"]]
            assert re.findall(r"\w+|■", readout.inner_text()) == ["predicted", *steps]
            slider = page.get_by_role("slider", name="Step")
            slider.focus()
            slider.press("End")
            slider.press("ArrowLeft")  # the last choice
            expect(readout).to_have_text(re.compile(rf"chooses {steps[-1]} with weight (0\.\d+|1\.000)$"))
            assert page.locator(".bars > span").first.inner_text() == steps[-1]  # the heaviest is chosen
            narrow = open_page(f"{address}/#/predictions?run={name}", width=390)
            expect(narrow.locator("svg.tour")).to_be_visible()
            assert narrow.evaluate("document.documentElement.scrollWidth") <= 390
            page.goto(f"{address}/#/attention?run={name}&site=head.attention")
            expect(page.locator("canvas.heatmap").first).to_be_visible()


def test_the_worst_come_first_and_the_best_last(dashboard: str, open_page: Open, sweep: Path) -> None:
    described = json.loads((sweep / "tsp" / "predictions" / "test.json").read_text())
    gaps = [example["scores"]["gap"] for example in described["examples"]]
    page = open_page(f"{dashboard}/#/predictions?run=tsp")
    panel = page.get_by_role("region", name="prediction")
    expect(panel).to_have_attribute("data-position", str(int(np.argmax(gaps))))
    page.get_by_role("button", name="Best").click()
    expect(page.locator(".bar .where")).to_have_text(f"{len(gaps)} of {len(gaps)}")
    best = "|".join(str(position) for position, gap in enumerate(gaps) if gap == min(gaps))
    expect(panel).to_have_attribute("data-position", re.compile(f"^({best})$"))


def test_errors_of_a_sequence_are_marked_and_its_steps_explained(
    dashboard: str, open_page: Open, sweep: Path, picture: Picture
) -> None:
    page = open_page(f"{dashboard}/#/predictions?run=reverse_dot_s1")
    panel = page.get_by_role("region", name="prediction")
    expect(panel.locator(".steps")).to_be_visible()
    position = int(panel.get_attribute("data-position") or -1)
    about = json.loads((sweep / "reverse_dot_s1" / "predictions" / "test.json").read_text())["examples"][position]
    pairs = [
        (about["said"][step] if step < len(about["said"]) else None, asked) for step, asked in enumerate(about["asked"])
    ]
    expect(panel.locator("button.token.wrong")).to_have_count(sum(said != asked for said, asked in pairs))
    first = panel.locator("button.token").first
    first.click()
    expect(panel.locator("p.readout").first).to_contain_text("step 1 looked at")
    first.press("ArrowRight")
    expect(panel.locator("button.token.current")).to_have_attribute("aria-label", re.compile("^step 2: "))
    picture(page, "predictions_sequence_1280")


def test_a_forecast_is_seen_with_its_band_for_each_variable(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/predictions?run=forecast")
    panel = page.get_by_role("region", name="prediction")
    expect(panel.locator(".chart.forecast canvas")).to_be_visible()
    expect(panel).to_contain_text(
        re.compile(r"at each step, 80 % of its errors on the other \d+ kept test examples lie")
    )
    expect(panel.locator("canvas.heatmap")).to_be_visible()
    picture(page, "predictions_forecast_1280")
    page.get_by_label("Variable").select_option(label="temperature")
    expect(panel.locator(".chart.forecast canvas")).to_be_visible()
    assert "variable=1" in page.url
    origins = page.get_by_label("Origin")
    dates = origins.locator("option").all_inner_texts()
    assert dates == sorted(dates)
    origins.select_option(index=0)
    value = origins.input_value()
    expect(panel).to_have_attribute("data-position", value)


def test_a_phone_shows_a_forecast(dashboard: str, open_page: Open, picture: Picture) -> None:
    page = open_page(f"{dashboard}/#/predictions?run=forecast", width=390)
    expect(page.locator(".chart.forecast canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    picture(page, "predictions_390")


def test_old_and_unfinished_records_are_shown_as_what_they_are(copied_sweep: Path, open_page: Open) -> None:
    (copied_sweep / "tsp" / "predictions" / "test.json").unlink()
    (copied_sweep / "forecast" / "predictions" / "test.npz").unlink()
    with serving(copied_sweep) as address:
        page = open_page(f"{address}/#/predictions?run=tsp")
        expect(page.locator(".message")).to_contain_text("recorded before predictions were described")
        page.get_by_label("Run").select_option("forecast")
        expect(page.locator(".message")).to_contain_text("has no predictions")
        page.get_by_label("Run").select_option("reverse_dot_s1")
        expect(page.locator(".steps")).to_be_visible()
