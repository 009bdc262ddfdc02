"""A page of results in Markdown, from the records of its studies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from attnlab.comparison import Spread, paired_p, spread
from attnlab.studies.study import Measure, Study

Records = Mapping[str, Mapping[str, Any]]


def render_page(title: str, studies: Sequence[tuple[Study, Records]]) -> str:
    """All studies of a page, each with what it is about, a table for each problem, remarks, and its command."""
    parts = [
        f"# {title}",
        "Every number is read from run records (`docs/results/records/`). Each rival had its own small search of the "
        "learning rate on validation with the first seed; then it was trained with every seed. Cells are the mean over "
        "seeds ± half of the 95 % interval (Student's t); *published* stands beside ours where there is a figure. "
        "`attnlab study NAME` makes what is missing and writes this page; it can be stopped and resumed.",
    ]
    for study, records in studies:
        parts += render_study(study, records)
    return "\n\n".join(parts) + "\n"


def render_study(study: Study, records: Records) -> list[str]:
    parts = [f"## {study.title}", study.about.strip()]
    if len(study.rivals) == 1 and len(study.problems) > 1:
        parts += filter(None, [_table_of_problems(study, records)])
    else:
        for problem in study.problems:
            table = _table(study, problem, records)
            if table:
                if len(study.problems) > 1:
                    parts.append(f"**{problem}**")
                parts.append(table)
    if study.remarks:
        parts.append(study.remarks.strip())
    missing = len(study.pending(records))
    still = f" ({missing} runs or more are still to be made)" if missing else ""
    parts.append(f"`attnlab study {study.name}`{still}")
    return parts


def _table(study: Study, problem: str, records: Records) -> str:
    rows: dict[str, list[Mapping[str, Any]]] = {}
    values: dict[str, float | None] = {}
    for rival in study.rivals:
        if (problem, rival) in study.skip:
            continue
        values[rival] = study.chosen(problem, rival, records)
        cells = study.repeats(problem, rival, values[rival])
        found = [records[cell.key]["summary"] for cell in cells if cell.key in records]
        found = [summary for summary in found if summary]  # without those that diverged
        if found:
            rows[rival] = found
    if not rows:
        return ""
    measures = study.problems[problem].measures
    published = study.published.get(problem, {})
    header = ["", *(measure.title for measure in measures)]
    if published:
        header.append("published")
    reference = rows.get(study.reference or "")
    if reference:
        header.append(f"p against {study.reference} ({measures[-1].title})")
    header += ["parameters", "CPU s", "MiB", study.option.split(".")[-1] if study.option else "", "seeds"]
    lines = [header, ["---"] + ["---:"] * (len(header) - 1)]
    tops = [_top(measure, rows) for measure in measures]
    for rival, found in rows.items():
        line = [rival]
        for measure, top in zip(measures, tops, strict=True):
            line.append(_cell(measure, found, top))
        if published:
            line.append(_published(published.get(rival, {})))
        if reference:
            line.append("" if rival == study.reference else _p(measures[-1], found, reference))
        seconds = spread([float(summary["cpu_seconds"]) for summary in found]).mean
        value = values[rival]
        memory = spread([summary["peak_memory_bytes"] / 2**20 for summary in found]).mean
        line += [f"{found[0]['num_parameters']:,}", f"{seconds:,.0f}", f"{memory:,.0f}"]
        line += ["" if value is None else f"{value:g}", str(len(found))]
        lines.append(line)
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _table_of_problems(study: Study, records: Records) -> str:
    """A row for each problem of a study with one rival: the seed that is best on validation, and all of them."""
    (rival,) = study.rivals
    titles = list(dict.fromkeys(title for found in study.published.values() for title in found.get(rival, {})))
    lines = [["", *titles, "ours, best seed", "mean ± deviation", "parameters", "CPU s", "seeds"]]
    lines.append(["---"] + ["---:"] * (len(lines[0]) - 1))
    columns: dict[str, list[float]] = {"best": [], "mean": []}
    for problem, asked in study.problems.items():
        cells = study.repeats(problem, rival, study.chosen(problem, rival, records))
        found = [records[cell.key]["summary"] for cell in cells if cell.key in records]
        found = [summary for summary in found if summary]
        if not found:
            continue
        measure = asked.measures[0]
        best = measure.read((max if asked.mode == "max" else min)(found, key=lambda run: run[asked.key]))
        known = _spread(measure, found)
        if best is None or known is None:
            continue
        figures = study.published.get(problem, {}).get(rival, {})
        for title in titles:
            columns.setdefault(title, []).append(float(figures.get(title, "nan")))
        columns["best"].append(best)
        columns["mean"].append(known.mean)
        deviation = f" ± {_number(stdev(known.values), measure)}" if len(known.values) > 1 else ""
        seconds = spread([float(summary["cpu_seconds"]) for summary in found]).mean
        lines.append(
            [
                problem,
                *(str(figures.get(title, "")) for title in titles),
                _number(best, measure),
                _number(known.mean, measure) + deviation,
                f"{found[0]['num_parameters']:,}",
                f"{seconds:,.0f}",
                str(len(found)),
            ]
        )
    if len(lines) == 2:
        return ""
    measure = next(iter(study.problems.values())).measures[0]
    means = [f"{fmean(columns[title]):.1f}" for title in titles]
    means += [_number(fmean(columns[name]), measure) for name in ("best", "mean")]
    lines.append([f"mean of these {len(columns['best'])}", *means, "", "", ""])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(measure: Measure, summaries: Sequence[Mapping[str, Any]]) -> Spread | None:
    values = [value for summary in summaries if (value := measure.read(summary)) is not None]
    return spread(values) if len(values) == len(summaries) else None


def _top(measure: Measure, rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> float | None:
    means = [found.mean for summaries in rows.values() if (found := _spread(measure, summaries))]
    if not means:
        return None
    return max(means) if measure.best == "max" else min(means)


def _cell(measure: Measure, summaries: Sequence[Mapping[str, Any]], top: float | None) -> str:
    found = _spread(measure, summaries)
    if found is None:
        return "–"
    text = _number(found.mean, measure)
    if found.half_width is not None:
        text += f" ± {_number(found.half_width, measure)}"
    return f"**{text}**" if found.mean == top else text


def _number(value: float, measure: Measure) -> str:
    if measure.percent:
        return f"{100 * value:.1f}"
    return f"{value:.4f}" if abs(value) >= 1e-3 or value == 0 else f"{value:.1e}"


def _published(figures: Mapping[str, str]) -> str:
    return "; ".join(f"{title} {figure}" if len(figures) > 1 else str(figure) for title, figure in figures.items())


def _p(measure: Measure, summaries: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]) -> str:
    ours, theirs = _spread(measure, summaries), _spread(measure, reference)
    if ours is None or theirs is None or len(ours.values) != len(theirs.values):
        return ""
    p = paired_p(ours.values, theirs.values)
    return "" if p is None else ("<0.001" if p < 0.001 else f"{p:.3f}")
