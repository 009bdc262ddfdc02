"""The page Compare in a browser, on runs that were really trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from tests.dashboard.conftest import refuse, serving
from tests.dashboard.records import append_line, write_run

REVERSE = "reverse_additive_s1,reverse_additive_s2,reverse_dot_s1,reverse_dot_s2"


def panel(page: Page, heading: str) -> Locator:
    return page.locator("section.panel").filter(has=page.get_by_role("heading", name=heading))


def test_a_selection_is_compared_in_every_respect(page: Page, sweep: Path, picture: Callable[..., None]) -> None:
    steps = json.loads((sweep / "reverse_dot_s1" / "summary.json").read_text())["steps"]
    page.get_by_role("searchbox").fill("reverse")
    expect(page.locator("tbody tr[data-id]")).to_have_count(4)
    page.get_by_role("checkbox", name="Select all shown").check()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    expect(page.get_by_text("4 runs selected")).to_be_visible()
    expect(panel(page, "Learning curves")).to_contain_text(f"4 curves up to step {steps}")
    for heading in ("Learning curves", "Quality against cost", "Parallel coordinates"):
        expect(panel(page, heading).locator("canvas")).to_be_visible()
    expect(panel(page, "Quality against cost")).to_contain_text("of 4 on the Pareto front")
    differences = panel(page, "What differs")
    expect(differences.get_by_role("row").filter(has_text="attention")).to_contain_text(
        re.compile("additive.*dot|dot.*additive")
    )
    expect(differences).to_contain_text("seed")
    expect(differences).not_to_contain_text("batch_size")  # in which they do not differ
    picture(page, "compare_1280")


def test_curves_are_drawn_by_time_or_examples_smoothed_on_log_axes_and_with_a_band_over_seeds(
    dashboard: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{dashboard}/#/compare?runs={REVERSE}")
    curves = panel(page, "Learning curves")
    expect(curves).to_contain_text("4 curves")
    curves.get_by_label("Curve").select_option("val/loss")
    expect(curves).to_contain_text("lowest at its end")
    curves.get_by_role("combobox", name="By", exact=True).select_option("examples")
    curves.get_by_role("checkbox", name="log y").check()
    curves.get_by_role("slider", name="Smoothing").fill("0.6")
    curves.get_by_text("Band over runs").click()
    curves.get_by_role("checkbox", name="attention", exact=True).check()
    expect(curves).to_contain_text("2 curves")
    expect(curves).to_contain_text("Bands: 95 % interval of the mean over runs")
    for part in ("curve=val%2Floss", "x=examples", "logy=1", "smooth=0.6", "group=attention"):
        expect(page).to_have_url(re.compile(part))
    page.reload()
    expect(curves).to_contain_text("2 curves")
    expect(curves.get_by_role("combobox", name="By", exact=True)).to_have_value("examples")
    expect(curves.get_by_role("slider")).to_have_value("0.6")


def test_what_was_trained_on_different_data_is_compared_one_data_set_at_a_time(
    dashboard: str, open_page: Callable[..., Page]
) -> None:
    page = open_page(f"{dashboard}/#/compare")
    expect(page.get_by_text("4 runs: all that are not hidden")).to_be_visible()
    page.get_by_label("Data").select_option("tsp")
    expect(page.get_by_text("1 run: all that are not hidden")).to_be_visible()
    expect(panel(page, "Learning curves")).to_contain_text("lowest at its end: tsp")


def test_the_parameter_that_matters_stands_first_and_the_front_is_named(
    tmp_path: Path, open_page: Callable[..., Page]
) -> None:
    for number, (attention, dim) in enumerate((a, d) for a in ("dot", "none") for d in (16, 32) for _ in range(2)):
        value = (0.8 if attention == "dot" else 0.3) + 0.01 * number
        write_run(
            tmp_path / f"run{number}", attention=attention, dim=dim, seed=number, value=value, seconds=20.0 - number
        )
    with serving(tmp_path) as address:
        page = open_page(f"{address}/#/compare")
        first = panel(page, "Which parameters matter").locator("tbody tr").first
        expect(first).to_contain_text("attention")
        cost = panel(page, "Quality against cost")
        # Each run is a second quicker than the one before it: run7 is the cheapest, and all from run3 on beat run2.
        expect(cost).to_contain_text("2 of 8 on the Pareto front")
        expect(cost).to_contain_text("run7 0.3700 in 13 s; run3 0.8300 in 17 s")
        cost.get_by_label("Cost").select_option("memory")
        expect(cost).to_contain_text("run3 0.8300 in 600 MiB")


def test_the_curve_of_a_run_that_is_trained_moves_without_a_reload(
    tmp_path: Path, open_page: Callable[..., Page]
) -> None:
    run = write_run(tmp_path / "fresh", status="running")
    with serving(tmp_path) as address:
        page = open_page(f"{address}/#/compare")
        curves = panel(page, "Learning curves")
        expect(curves).to_contain_text("1 curve up to step 20; highest at its end: fresh, 0.3000")
        canvas = curves.locator("canvas")
        expect(canvas).to_be_visible()
        before = canvas.screenshot()
        canvas.evaluate("element => (element.dataset.same = 'yes')")
        append_line(run, step=59, epoch=2, time=9.0, exact_match=0.875)
        expect(curves).to_contain_text("1 curve up to step 60; highest at its end: fresh, 0.8750")
        expect(canvas).to_have_attribute("data-same", "yes")  # it moves; it is not drawn anew
        page.wait_for_timeout(300)
        assert canvas.screenshot() != before


def test_a_phone_shows_everything_and_never_scrolls_sideways(
    dashboard: str, open_page: Callable[..., Page], picture: Callable[..., None]
) -> None:
    page = open_page(f"{dashboard}/#/compare?runs={REVERSE}", width=390)
    expect(panel(page, "Parallel coordinates").locator("canvas")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    picture(page, "compare_390")


def test_a_question_that_cannot_be_answered_says_why(dashboard: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{dashboard}/#/compare?runs={REVERSE}")
    expect(panel(page, "Learning curves")).to_contain_text("4 curves")
    refuse(page, "api/compare", "the disk is full")
    page.get_by_label("Metric").select_option("test/accuracy")
    expect(page.get_by_role("alert")).to_have_text("the disk is full")
    page.evaluate("window.accept()")
    page.get_by_role("button", name="All runs").click()
    expect(page.get_by_text("4 runs: all that are not hidden")).to_be_visible()
    expect(page.get_by_text("the disk is full")).to_have_count(0)


def test_nothing_to_compare_is_said_so_until_there_is(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    (tmp_path / "photos").mkdir()
    with serving(tmp_path) as address:
        page = open_page(f"{address}/#/compare")
        expect(page.get_by_text("There is nothing to compare yet")).to_be_visible()
        write_run(tmp_path / "fresh", status="running")
        expect(panel(page, "Learning curves")).to_contain_text("1 curve up to step 20")
        expect(panel(page, "Learning curves").locator("canvas")).to_be_visible()
        expect(page.get_by_text("There is nothing to compare yet")).to_have_count(0)
