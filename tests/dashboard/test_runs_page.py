"""The page Runs in a browser, on runs that were really trained, and on a thousand that were not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import Locator, Page, expect
from tests.dashboard.conftest import SWEEP, refuse, serving, serving_alone
from tests.dashboard.records import append_line, write_many, write_run


def rows(page: Page) -> Locator:
    return page.locator("tbody tr[data-id]")


def row(page: Page, name: str) -> Locator:
    return page.locator(f'tr[data-id="{name}"]')


def test_every_run_stands_in_the_table_with_its_metric_and_costs(
    page: Page, sweep: Path, picture: Callable[..., None]
) -> None:
    expect(rows(page)).to_have_count(len(SWEEP))
    summary = json.loads((sweep / "tsp" / "summary.json").read_text())
    tsp = row(page, "tsp")
    expect(tsp).to_contain_text("gap")
    expect(tsp).to_contain_text(f"{summary['test/gap']:.4f}"[:5])
    expect(tsp).to_contain_text(f"{summary['num_parameters']:,}")
    expect(tsp).to_contain_text("finished")
    picture(page, "runs_1280")


def test_text_and_conditions_on_any_key_filter(page: Page) -> None:
    search = page.get_by_role("searchbox", name="Filter runs")
    for text, count in (
        ("additive", 4),
        ("attention=dot", 2),
        ("attention=dot,additive seed=1", 4),
        ("encoder!=gru", 1),
        ("data.num_points=5", 1),
        ("num_symbols=5 seed>1", 2),
        ("num_symbols>4", 4),
        ("-reverse", 2),
        ('id~"dot_s"', 2),
        ("status=finished", 6),
        ("nothing at all", 0),
    ):
        search.fill(text)
        expect(page.get_by_text(f"{count} of 6 runs"), text).to_be_visible()
        expect(rows(page)).to_have_count(count)
    search.fill("dot")
    page.reload()
    expect(search).to_have_value("dot")
    expect(rows(page)).to_have_count(2)


def test_a_click_on_a_heading_sorts_and_a_second_one_turns_it_round(page: Page) -> None:
    expect(rows(page)).to_have_count(6)
    by_parameters = page.get_by_role("button", name="Parameters")
    by_parameters.click()
    expect(page.get_by_role("columnheader", name="Parameters")).to_have_attribute("aria-sort", "ascending")
    expect(rows(page).last).to_have_attribute("data-id", "tsp")
    by_parameters.click()
    expect(rows(page).first).to_have_attribute("data-id", "tsp")
    page.reload()
    expect(rows(page).first).to_have_attribute("data-id", "tsp")


def test_runs_are_grouped_by_any_keys_with_an_interval_over_seeds(page: Page, picture: Callable[..., None]) -> None:
    for key in ("data", "attention"):
        page.get_by_text("Group by").first.click()
        page.locator("details[open]").get_by_role("checkbox", name=key, exact=True).check()
        page.keyboard.press("Escape")
    expect(rows(page)).to_have_count(4)
    dot = rows(page).filter(has_text="dot")
    expect(dot).to_contain_text("(2)")
    expect(dot).to_contain_text("±")
    picture(page, "groups_1280")
    expect(page).to_have_url(re.compile("group=data%2Cattention"))
    dot.click()
    expect(rows(page)).to_have_count(2)
    expect(page.get_by_role("searchbox")).to_have_value("data=reverse attention=dot")
    expect(page.get_by_role("row", selected=True)).to_have_count(2)


def test_a_group_without_a_value_opens_as_well(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    write_run(tmp_path / "five", window=5)
    write_run(tmp_path / "null", window=None)
    write_run(tmp_path / "missing")
    with serving(tmp_path) as address:
        page = open_page(f"{address}/#/runs?group=window")
        expect(rows(page)).to_have_count(2)
        rows(page).filter(has_text="–").click()
        expect(page.get_by_role("searchbox")).to_have_value("window=null")
        expect(row(page, "null")).to_be_visible()
        expect(row(page, "missing")).to_be_visible()
        expect(rows(page)).to_have_count(2)


def test_groups_come_back_after_an_error(dashboard: str, open_page: Callable[..., Page]) -> None:
    page = open_page(f"{dashboard}/#/runs?group=data")
    expect(rows(page)).to_have_count(3)
    refuse(page, "api/groups", "the disk is full")
    page.get_by_role("searchbox").fill("gru")
    expect(page.get_by_role("alert")).to_have_text("the disk is full")
    page.evaluate("window.accept()")
    page.get_by_role("searchbox").fill("reverse")
    expect(rows(page)).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_review_that_cannot_be_kept_is_said_so(dashboard: str, open_page: Callable[..., Page]) -> None:
    page = open_page(dashboard)
    expect(rows(page)).to_have_count(6)
    refuse(page, "/review", "the disk is full")
    search = page.get_by_role("searchbox")
    page.get_by_role("checkbox", name="Select tsp").check()

    def press(key: str) -> None:
        row(page, "tsp").focus()
        page.keyboard.press(key)

    for act in (
        lambda: press("p"),
        lambda: press("h"),
        page.get_by_role("button", name="Pin").click,
        page.get_by_role("button", name="Hide").click,
    ):
        act()
        expect(page.get_by_role("alert")).to_have_text("the disk is full")
        search.fill("" if search.input_value() else "tsp")  # what is shown is counted again
        expect(page.get_by_role("alert")).to_have_count(0)
    expect(row(page, "tsp")).not_to_contain_text("★")


def test_runs_are_pinned_hidden_tagged_and_noted_beside_their_record(
    copied_sweep: Path, open_page: Callable[..., Page]
) -> None:
    with serving(copied_sweep) as address:
        page = open_page(address)
        row(page, "tsp").click()
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("textbox", name="Tags").fill("paper best")
        dialog.get_by_role("textbox", name="Note").fill("look <b>again</b>")
        dialog.get_by_role("textbox", name="Note").blur()
        page.keyboard.press("Escape")
        expect(row(page, "tsp")).to_contain_text("paper")
        expect(row(page, "tsp")).to_contain_text("look <b>again</b>")
        row(page, "reverse_dot_s1").focus()
        page.keyboard.press("p")
        expect(rows(page).first).to_have_attribute("data-id", "reverse_dot_s1")
        row(page, "forecast").focus()
        page.keyboard.press("h")
        expect(rows(page)).to_have_count(5)
        expect(page.get_by_text("5 of 6 runs, 1 hidden")).to_be_visible()
        page.get_by_role("checkbox", name="Show hidden").check()
        expect(rows(page)).to_have_count(6)
        page.reload()
        expect(rows(page)).to_have_count(6)
        expect(rows(page).first).to_have_attribute("data-id", "reverse_dot_s1")
    kept = json.loads((copied_sweep / "tsp" / "review.json").read_text())
    assert (kept["tags"], kept["note"]) == (["paper", "best"], "look <b>again</b>")
    assert json.loads((copied_sweep / "forecast" / "review.json").read_text())["hidden"]


def test_the_table_is_worked_with_keys_alone(page: Page) -> None:
    expect(rows(page)).to_have_count(6)
    page.keyboard.press("/")
    search = page.get_by_role("searchbox", name="Filter runs")
    expect(search).to_be_focused()
    page.keyboard.type("reverse")
    expect(rows(page)).to_have_count(4)
    rows(page).first.focus()
    page.keyboard.press("ArrowDown")
    expect(rows(page).nth(1)).to_be_focused()
    page.keyboard.press("Space")
    page.keyboard.press("End")
    expect(rows(page).last).to_be_focused()
    page.keyboard.press("Space")
    expect(page.get_by_text("2 selected")).to_be_visible()
    width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert width != "0px"  # where the focus is can be seen
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_new_run_and_its_progress_appear_without_a_reload(tmp_path: Path, open_page: Callable[..., Page]) -> None:
    with serving(tmp_path) as address:
        page = open_page(address)
        expect(page.get_by_text("There are no runs here yet")).to_be_visible()
        run = write_run(tmp_path / "fresh", status="running")
        expect(row(page, "fresh")).to_contain_text("running 19 %")
        expect(row(page, "fresh")).to_contain_text("0.3000")
        append_line(run, step=69, epoch=2, time=9.0, exact_match=0.8125)
        expect(row(page, "fresh")).to_contain_text("running 69 %")
        expect(row(page, "fresh")).to_contain_text("0.8125")


def test_folders_that_are_no_finished_run_are_shown_as_what_they_are(
    tmp_path: Path, open_page: Callable[..., Page]
) -> None:
    write_run(tmp_path / "failed", status="failed", error="Diverged: the loss is no longer a number")
    write_run(tmp_path / "half")
    (tmp_path / "half" / "summary.json").write_text('{"test/ex')
    (tmp_path / "nothing").mkdir()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"meow")
    with serving(tmp_path) as address:
        page = open_page(address)
        for name, word in (("failed", "failed"), ("half", "broken"), ("nothing", "empty"), ("photos", "foreign")):
            expect(row(page, name)).to_contain_text(word)
        row(page, "failed").click()
        expect(page.get_by_role("dialog")).to_contain_text("the loss is no longer a number")


def test_a_phone_shows_the_table_and_never_scrolls_sideways(
    dashboard: str, open_page: Callable[..., Page], picture: Callable[..., None]
) -> None:
    page = open_page(dashboard, width=390, dark=True)
    expect(rows(page)).to_have_count(6)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    picture(page, "runs_390")


def test_a_thousand_runs_stay_smooth(
    tmp_path: Path, open_page: Callable[..., Page], record_property: Callable[[str, object], None]
) -> None:
    write_many(tmp_path, 1000)
    with serving_alone(tmp_path) as address:
        page = open_page("about:blank")
        page.add_init_script(
            """new MutationObserver((_, watch) => {
                if (!document.querySelector("tr[data-id]")) return;
                window.firstTable ??= performance.now();
                watch.disconnect();
            }).observe(document, { childList: true, subtree: true });"""
        )
        page.goto(address)
        expect(page.get_by_text("1,000 of 1,000 runs")).to_be_visible()
        first = page.evaluate("window.firstTable")
        assert rows(page).count() < 80  # only what is in view is in the document
        # Configs of a thousand runs take longer to read than their metrics: they come after the first table.
        page.get_by_role("searchbox").fill("dim=64 encoder=lstm")
        expect(page.get_by_text("50 of 1,000 runs")).to_be_visible()
        slowest = 0.0
        for text, count in (
            ("lstm", 250),
            ("dim>32", 600),
            ("encoder=tcn dim<=32 attention!=none -mlp", 60),
            ("", 1000),
        ):
            page.get_by_role("searchbox").fill(text)
            expect(page.get_by_text(f"{count:,} of 1,000 runs")).to_be_visible()
            (*_, took) = page.evaluate("performance.getEntriesByName('filter').map((entry) => entry.duration)")
            slowest = max(slowest, took)
        page.locator(".virtual").evaluate("box => box.scrollTop = box.scrollHeight")
        expect(page.locator('tr[aria-rowindex="1001"]')).to_be_visible()
        print(f"\n1,000 runs: first table {first:.0f} ms after the address was opened, slowest filter {slowest:.0f} ms")
        record_property("first_table_ms", round(first))
        record_property("slowest_filter_ms", round(slowest))
