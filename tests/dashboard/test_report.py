"""A report as a document, without a browser."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.dashboard.records import write_run

from attnlab.comparison import Problem, compare, conclusion
from attnlab.dashboard.compare_api import MAX_CURVES
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.report import Report, build_report, default_keys
from attnlab.errors import UserError


@pytest.fixture(scope="module")
def report(sweep: Path) -> Report:
    rows = [row for row in RunIndex(sweep).rows() if row["choices"].get("data") == "reverse"]
    return build_report(sweep, "reverse", rows)


def test_runs_are_grouped_by_what_they_differ_in(sweep: Path, report: Report) -> None:
    assert report.by == ["attention"]
    assert default_keys(RunIndex(sweep).rows(["reverse_dot_s1", "reverse_dot_s2"])) == ["encoder", "attention"]


def test_the_table_says_what_the_records_say(sweep: Path, report: Report) -> None:
    values = [
        json.loads((sweep / f"reverse_dot_s{seed}" / "summary.json").read_text())["test/exact_match"] for seed in (1, 2)
    ]
    (dot,) = (line for line in report.lines if line.name == "dot")
    assert dot.runs == 2
    assert float(dot.value.split(" ± ")[0]) == pytest.approx(sum(values) / 2, rel=1e-3)
    assert [line.name for line in report.lines if line.baseline] == ["copy input", "most frequent"]
    means = [float(line.value.split(" ± ")[0]) for line in report.lines if not line.baseline]
    assert means == sorted(means, reverse=True)  # more is better: the best first
    assert report.lines[0].best


def test_the_page_asks_for_nothing(report: Report) -> None:
    page = report.to_html()
    assert page.count("data:image/svg+xml;base64,") == len(report.figures) >= 4
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page)


def test_the_folder_holds_every_figure_that_its_markdown_names(report: Report) -> None:
    with zipfile.ZipFile(io.BytesIO(report.to_zip())) as archive:
        files = {name.removeprefix("report/"): archive.read(name) for name in archive.namelist()}
    text = files["report.md"].decode()
    named = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert named == [f"figures/{figure.name}.png" for figure in report.figures]
    for name in named:
        assert min(Image.open(io.BytesIO(files[name])).size) > 100
        assert b"<svg" in files[name.replace(".png", ".svg")]
    rows = list(csv.DictReader(io.StringIO(files["results.csv"].decode())))
    assert [row["row"] for row in rows] == [line.name for line in report.lines]
    table = [line for line in text.split("## ")[0].splitlines() if line.startswith("|")]
    assert table[0] == "| attention | test/exact_match | runs | parameters | time | memory |"
    assert len(table) == 2 + len(report.lines)
    assert {line.count("|") for line in table} == {7}


def test_the_csv_holds_bare_numbers(tmp_path: Path) -> None:
    for name, attention, value, seconds in (("a", "dot", 0.2, 10.0), ("b", "dot", 0.4, 15.0), ("c", "none", 0.1, 3.5)):
        write_run(tmp_path / name, attention=attention, seed=ord(name), value=value, seconds=seconds)
    summary = tmp_path / "a" / "summary.json"
    summary.write_text(json.dumps({**json.loads(summary.read_text()), "baseline/copy_input/exact_match": 0.05}))
    made = build_report(tmp_path, "reverse", RunIndex(tmp_path).rows(), by=["attention"])
    dot, none, baseline = csv.DictReader(io.StringIO(made.to_csv()))
    # Student's t for one degree of freedom is 12.706, and the deviation of 0.2 and 0.4 over √2 is 0.1.
    assert (float(dot["mean"]), float(dot["half_width"])) == (pytest.approx(0.3), pytest.approx(1.2706, rel=1e-4))
    assert (float(dot["seconds"]), float(dot["memory_bytes"])) == (12.5, 600 * 2**20)
    assert {key: dot[key] for key in ("row", "column", "metric", "better", "baseline", "runs")} == {
        **{"row": "dot", "column": "reverse", "metric": "test/exact_match"},
        **{"better": "more", "baseline": "no", "runs": "2"},
    }
    assert (none["mean"], none["half_width"], none["seconds"]) == ("0.1", "", "3.5")
    assert {key: baseline[key] for key in ("row", "baseline", "mean", "half_width", "seconds")} == {
        **{"row": "copy input", "baseline": "yes"},
        **{"mean": "0.05", "half_width": "", "seconds": ""},
    }


def test_the_verdict_is_that_of_the_comparison(sweep: Path, report: Report) -> None:
    values = {
        name: {
            seed: json.loads((sweep / f"reverse_{name}_s{seed}" / "summary.json").read_text())["test/exact_match"]
            for seed in (1, 2)
        }
        for name in ("additive", "dot")
    }
    compared = compare(Problem("reverse", "test/exact_match", "max", values))
    assert report.verdict.said == conclusion(compared)
    (pair,) = report.verdict.pairs
    assert pair.first == report.lines[0].name
    assert pair.improvement == pytest.approx(
        abs(np.mean([*values["additive"].values()]) - np.mean([*values["dot"].values()]))
    )
    assert report.verdict.said[1:] in report.to_html()
    assert report.verdict.said[1:] in report.to_markdown()


def test_what_cannot_be_compared_says_why(sweep: Path) -> None:
    rows = RunIndex(sweep).rows(["reverse_dot_s1", "reverse_additive_s1"])
    made = build_report(sweep, "reverse", rows, by=["encoder"])  # two attentions in one group
    assert made.verdict.said.startswith("not tested: the runs of gru")
    assert "differ in attention (additive, dot)" in made.verdict.said


def test_every_run_can_be_repeated_from_the_report(report: Report) -> None:
    commands = dict(report.commands)
    assert commands["reverse_dot_s2"].startswith("attnlab train data=reverse ")
    assert "attention=dot seed=2" in commands["reverse_dot_s2"]
    assert "hydra.run.dir" not in commands["reverse_dot_s2"]


def test_names_are_text_and_never_markup(copied_sweep: Path) -> None:
    evil = copied_sweep / "<img src=x onerror=alert(1)> | b"
    shutil.copytree(copied_sweep / "reverse_dot_s1", evil)
    rows = RunIndex(copied_sweep).rows([evil.name])
    made = build_report(copied_sweep, "a | <b>", rows, by=["encoder"])
    page = made.to_html()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    assert "<b>" not in page


def test_unfinished_runs_are_left_out_and_named(copied_sweep: Path) -> None:
    meta = copied_sweep / "reverse_dot_s1" / "meta.json"
    meta.write_text(meta.read_text().replace('"finished"', '"failed"'))
    rows = RunIndex(copied_sweep).rows(["reverse_dot_s1", "reverse_dot_s2"])
    made = build_report(copied_sweep, "reverse", rows)
    assert made.left_out == ["reverse_dot_s1 (failed)"]
    assert [name for name, _ in made.commands] == ["reverse_dot_s2"]
    with pytest.raises(UserError, match="none of these 1 is"):
        build_report(copied_sweep, "reverse", rows[:1])


def test_curves_that_are_left_out_are_counted_in_the_caption(tmp_path: Path) -> None:
    for number in range(MAX_CURVES + 1):
        write_run(tmp_path / f"run{number:02}", seed=number // 2, dim=number)
    rows = RunIndex(tmp_path).rows()
    (curves, _) = build_report(tmp_path, "reverse", rows, by=["dim"]).figures
    assert curves.caption.endswith("Only the newest curves are shown: 1 older run is left out.")
    (curves, _) = build_report(tmp_path, "reverse", rows, by=["encoder"]).figures
    assert "left out" not in curves.caption


def test_a_run_without_metrics_leaves_the_others_their_curves(tmp_path: Path) -> None:
    for encoder in ("gru", "lstm", "tcn"):
        write_run(tmp_path / encoder, encoder=encoder)
    (tmp_path / "lstm" / "metrics.jsonl").unlink()
    made = build_report(tmp_path, "reverse", RunIndex(tmp_path).rows(), by=["encoder"])
    assert [line.name for line in made.lines] == ["gru", "lstm", "tcn"]
    curves = made.figures[0]
    assert curves.name == "learning_curves"
    assert [f">{name}<" in curves.svg.decode() for name in ("gru", "lstm", "tcn")] == [True, False, True]
