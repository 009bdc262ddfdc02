"""python -m benchmarks [TOPIC ...]: times the topics (all where none is named) and writes docs/performance.md.

Figures that are not made anew stay as they are in docs/performance/TOPIC.json.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from benchmarks.harness import Row

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
KEPT = DOCS / "performance"
INTRODUCTION = """# Performance

Each figure stands beside the plain alternative, timed by turns in the same run (`make bench`): medians in milliseconds,
and the ratio's median with its quartiles over the rounds. *target* is what we want to reach. A time alone says little,
since machines differ; a ratio says what a form is worth.
"""


def main() -> None:
    topics = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("__init__", "__main__", "harness"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times what is claimed to be fast.")
    parser.add_argument("topics", nargs="*", metavar="TOPIC", help=f"of {', '.join(topics)}; all where none is named")
    chosen = parser.parse_args().topics or topics
    for topic in chosen:
        if topic not in topics:
            parser.error(f"there is no topic {topic}; choose from {', '.join(topics)}")
    for topic in chosen:
        module = importlib.import_module(f"benchmarks.{topic}")
        rows: list[Row] = module.rows()
        kept = {
            "title": (module.__doc__ or topic).splitlines()[0],
            "machine": machine(),
            "rows": [asdict(r) for r in rows],
        }
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{topic}.json").write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(section(kept))
    sections = [section(json.loads(path.read_text(encoding="utf-8"))) for path in sorted(KEPT.glob("*.json"))]
    (DOCS / "performance.md").write_text("\n".join([INTRODUCTION, *sections]), encoding="utf-8")


def machine() -> str:
    """What the figures were taken on."""
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    else:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = {line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")}
        device = f"{', '.join(sorted(names)) or platform.processor()}, {torch.get_num_threads()} threads"
    return f"{device}, torch {torch.__version__}, {datetime.now(UTC):%Y-%m-%d}"


def section(kept: dict[str, Any]) -> str:
    """A topic's table in Markdown."""
    lines = [f"## {kept['title'].rstrip('.')}", "", f"{kept['machine']}", ""]
    lines += ["| | plain alternative | plain ms | ours ms | ratio | target | |", "|---|---|---:|---:|---:|---|---|"]
    for row in kept["rows"]:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        if row["low"] is not None:
            ratio += f" ({row['low']:.2f}–{row['high']:.2f})"
        cells = [row["name"], row["plain"], number(row["plain_ms"]), number(row["fast_ms"]), ratio]
        lines.append("| " + " | ".join([*cells, row["target"], row["note"]]) + " |")
    return "\n".join([*lines, ""])


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.3g}" if value < 100 else f"{value:,.0f}"


if __name__ == "__main__":
    main()
