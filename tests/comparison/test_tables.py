from __future__ import annotations

import csv
import io

import pytest

from attnlab.comparison import Arrangement, Problem
from attnlab.comparison.tables import PaperTable, digits, escape, paper_table, to_csv, to_latex, to_markdown

GOOD, LEVEL, BAD = [0.90, 0.91, 0.93, 0.92, 0.94], [0.89, 0.93, 0.92, 0.90, 0.95], [0.50, 0.55, 0.48, 0.60, 0.52]


@pytest.fixture
def table() -> PaperTable:
    def groups(**values: list[float]) -> dict[str, dict[int, float]]:
        return {name: dict(enumerate(found, start=1)) for name, found in values.items()}

    return paper_table(
        Arrangement(
            (
                Problem("sort", "test/exact_match", "max", groups(min_gru=BAD, lstm=GOOD, tcn=LEVEL)),
                Problem("50%_table", "test/mae", "min", groups(min_gru=BAD, lstm=GOOD)),
            )
        )
    )


def test_the_best_and_its_ties_are_bold_and_what_is_missing_is_a_dash(table: PaperTable) -> None:
    assert to_markdown(table, "Three encoders").splitlines() == [
        "Three encoders",
        "",
        "|  | sort, exact_match ↑ | 50%_table, mae ↓ |",
        "| --- | ---: | ---: |",
        "| lstm | **0.920 ± 0.020** | 0.920 ± 0.020 |",
        "| min_gru | 0.530 ± 0.058 | **0.530 ± 0.058** |",
        "| tcn | **0.918 ± 0.030** | – |",
        "",
        "Mean over 5 seeds ± half of the 95 % interval (Student's t). Bold: the best mean of a column, and all that "
        "are not shown to be worse (paired t-test by seed, Welch's where seeds differ; Holm's correction over all "
        "pairs of the column, α = 0.05).",
    ]


def test_latex_has_rules_of_booktabs_and_no_character_that_it_would_trip_over(table: PaperTable) -> None:
    lines = to_latex(table, "A 50 % share & more").splitlines()
    assert lines[:9] == [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        r"  \caption{A 50 \% share \& more}",
        r"  \smallskip",
        r"  \begin{tabular}{@{}lrr@{}}",
        r"    \toprule",
        r"     & sort & 50\%\_table \\",
        r"     & exact\_match $\uparrow$ & mae $\downarrow$ \\",
    ]
    assert r"    lstm & \textbf{0.920 $\pm$ 0.020} & 0.920 $\pm$ 0.020 \\" in lines
    assert r"    min\_gru & 0.530 $\pm$ 0.058 & \textbf{0.530 $\pm$ 0.058} \\" in lines
    assert r"    tcn & \textbf{0.918 $\pm$ 0.030} & -- \\" in lines
    assert lines[-1] == r"\end{table}"
    body = "\n".join(lines[1:])
    assert body.isascii()
    assert body.count("{") == body.count("}")
    assert body.count(r"\begin") == body.count(r"\end") == 2


def test_every_special_character_is_escaped_once() -> None:
    assert escape(r"a\b_{c}^~#$") == r"a\textbackslash{}b\_\{c\}\textasciicircum{}\textasciitilde{}\#\$"
    assert escape("a|b<c>d") == r"a\textbar{}b\textless{}c\textgreater{}d"


def test_csv_has_a_line_for_each_cell_with_all_digits(table: PaperTable) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(table))))
    assert [(row["row"], row["column"], row["mark"]) for row in rows] == [
        ("lstm", "sort", "best"),
        ("lstm", "50%_table", ""),
        ("min_gru", "sort", ""),
        ("min_gru", "50%_table", "best"),
        ("tcn", "sort", "tie"),
    ]
    assert float(rows[0]["mean"]) == pytest.approx(0.92, abs=1e-15)
    assert float(rows[0]["half_width"]) == pytest.approx(0.0196324, abs=1e-6)
    assert (rows[0]["metric"], rows[0]["better"], rows[1]["better"], rows[0]["seeds"]) == (
        "test/exact_match",
        "more",
        "less",
        "5",
    )


def test_a_single_seed_is_neither_tested_nor_called_a_tie() -> None:
    alone = paper_table(Arrangement((Problem("sort", "test/accuracy", "max", {"a": {1: 0.9}, "b": {1: 0.9}}),)))
    assert "| a | **0.9000** |" in to_markdown(alone)
    assert "| b | 0.9000 |" in to_markdown(alone)
    assert "Mean over 1 seed " in alone.footnote
    assert alone.footnote.endswith("What has a single seed is not tested.")


def test_the_narrowest_interval_shows_two_digits() -> None:
    assert digits([0.0123, 0.5]) == 3
    assert digits([123.4, None]) == 0
    assert digits([1.5]) == 1
    assert digits([None, 0.0]) == 4
    assert digits([1e-12]) == 6
