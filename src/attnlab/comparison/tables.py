"""Tables for papers: a row for each group, a column for each problem, the best and its ties in bold."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attnlab.comparison.groups import NOTHING, Arrangement
from attnlab.comparison.report import compare

#: Digits after the point where no interval says how many are known, and at most.
USUAL_DIGITS, MOST_DIGITS = 4, 6
LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",  # these three are other characters in LaTeX's usual font encoding
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "±": r"$\pm$",
    "α": r"$\alpha$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
} | {character: f"\\{character}" for character in "&%$#_{}"}


@dataclass(frozen=True)
class Cell:
    """A group on a problem.

    Args:
        half_width: of the 95 % interval of the mean (Student's t); None for a single seed.
        mark: best, tie (tested against the best, and not shown to be worse), or nothing.
    """

    mean: float
    half_width: float | None
    num_seeds: int
    mark: str


@dataclass(frozen=True)
class Column:
    name: str
    metric: str
    mode: str
    cells: dict[str, Cell]

    @property
    def digits(self) -> int:
        """So many after the point that the narrowest interval has two that count."""
        return digits(cell.half_width for cell in self.cells.values())


@dataclass(frozen=True)
class PaperTable:
    rows: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def footnote(self) -> str:
        """What the numbers are, and what bold means."""
        seeds = sorted({cell.num_seeds for column in self.columns for cell in column.cells.values()})
        many = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]}–{seeds[-1]}"
        return (
            f"Mean over {many} seed{'' if seeds == [1] else 's'} ± half of the 95 % interval (Student's t). Bold: the "
            "best mean of a column, and all that are not shown to be worse (paired t-test by seed, Welch's where seeds "
            "differ; Holm's correction over all pairs of the column, α = 0.05)."
            + (" What has a single seed is not tested." if seeds[0] == 1 else "")
        )


def digits(widths: Iterable[float | None]) -> int:
    """How many after the point show two digits of the narrowest of intervals."""
    known = [width for width in widths if width]
    if not known:
        return USUAL_DIGITS
    return min(MOST_DIGITS, max(0, 1 - math.floor(math.log10(min(known)))))


def paper_table(arrangement: Arrangement) -> PaperTable:
    """Groups as rows, in the order of their names, and problems as columns."""
    columns = []
    for problem in arrangement.problems:
        found = compare(problem)
        ties = set(found.level_with_best())
        marks = {name: "tie" for name in ties} | {found.best: "best"}
        cells = {
            group.name: Cell(group.spread.mean, group.spread.half_width, len(group.seeds), marks.get(group.name, ""))
            for group in found.groups
        }
        columns.append(Column(problem.name, problem.metric, problem.mode, cells))
    rows = sorted({name for column in columns for name in column.cells})
    return PaperTable(tuple(rows), tuple(columns))


def to_markdown(table: PaperTable, caption: str | None = None) -> str:
    titles = ["", *(f"{column.name}, {_measure(column)}" for column in table.columns)]
    lines = [titles, ["---"] + ["---:"] * len(table.columns)]
    lines += [
        [row, *(_bold(_cell(column, row), column, row, "**{}**") for column in table.columns)] for row in table.rows
    ]
    body = "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)
    return "\n\n".join([*([caption] if caption else []), body, table.footnote]) + "\n"


def to_latex(table: PaperTable, caption: str | None = None) -> str:
    """A floating table of the package booktabs and nothing else. The metric stands below the problem, to save width."""
    lines = [r"\begin{table}", r"  \centering"]
    if caption:
        lines += [rf"  \caption{{{escape(caption)}}}", r"  \smallskip"]  # most classes leave no room below a caption
    lines += [rf"  \begin{{tabular}}{{@{{}}l{'r' * len(table.columns)}@{{}}}}", r"    \toprule"]
    for titles in ([column.name for column in table.columns], map(_measure, table.columns)):
        lines.append(_latex_line(["", *map(escape, titles)]))
    lines.append(r"    \midrule")
    for row in table.rows:
        cells = [_bold(escape(_cell(column, row)), column, row, r"\textbf{{{}}}") for column in table.columns]
        lines.append(_latex_line([escape(row), *cells]))
    lines += [r"    \bottomrule", r"  \end{tabular}", r"  \par\smallskip"]
    lines += [rf"  \parbox{{\linewidth}}{{\footnotesize {escape(table.footnote)}}}", r"\end{table}"]
    return "% needs \\usepackage{booktabs}\n" + "\n".join(lines) + "\n"


def to_csv(table: PaperTable, caption: str | None = None) -> str:
    """A line for each cell, with all digits: what a spreadsheet or a plotting script wants. It has no caption."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["row", "column", "metric", "better", "seeds", "mean", "half_width", "mark"])
    for row in table.rows:
        for column in table.columns:
            if cell := column.cells.get(row):
                better = "more" if column.mode == "max" else "less"
                known = [row, column.name, column.metric, better, cell.num_seeds, cell.mean, cell.half_width, cell.mark]
                writer.writerow(known)
    return file.getvalue()


FORMATS = {"latex": to_latex, "markdown": to_markdown, "csv": to_csv}


def escape(text: str) -> str:
    """Plain text as LaTeX prints it."""
    return "".join(LATEX.get(character, character) for character in text)


def _measure(column: Column) -> str:
    """The metric, and which end of it is better."""
    return f"{column.metric.removeprefix('test/')} {'↑' if column.mode == 'max' else '↓'}"


def _cell(column: Column, row: str) -> str:
    cell = column.cells.get(row)
    if cell is None:
        return NOTHING
    form = f",.{column.digits}f"
    return f"{cell.mean:{form}}" + ("" if cell.half_width is None else f" ± {cell.half_width:{form}}")


def _bold(text: str, column: Column, row: str, form: str) -> str:
    cell = column.cells.get(row)
    return form.format(text) if cell is not None and cell.mark else text


def _latex_line(cells: Iterable[str] | Sequence[str]) -> str:
    return "    " + " & ".join(cells) + r" \\"
