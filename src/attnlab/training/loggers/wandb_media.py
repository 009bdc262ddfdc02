"""What a finished record holds, as W&B shows it: pictures, heat-maps, and tables to be queried."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import wandb
from PIL import Image

from attnlab.runs import record as names
from attnlab.runs.maps import AttentionRecord, entropy

#: Rows of a table that W&B still shows at once.
MAX_ROWS = 10_000
#: Pixels of a heat-map in a table, along its longer side.
THUMBNAIL = 160


def figures(run: Path) -> dict[str, wandb.Image]:
    """plots/*.png: forecasts, tours, hulls, triangulations, and what the head looked at."""
    return {f"plots/{path.stem}": wandb.Image(str(path)) for path in sorted((run / names.PLOTS).glob("*.png"))}


def heat_maps(run: Path) -> dict[str, wandb.Image]:
    """What every site looked at in the first example of the last epoch, with names on the axes."""
    from attnlab.plots.attention import plot_attention  # the drawing library takes a while to import

    attention = AttentionRecord(run)
    drawn = {}
    for site in attention.sites():
        weights, places = attention.weights(attention.epochs[-1], site.name, 0)
        chart = plot_attention(
            weights,
            places.rows,
            places.columns,
            title=f"what {site.name} looked at",
            row_title=places.row_title,
            column_title=places.column_title,
        )
        file = io.BytesIO()
        chart.save(file, format="png", scale_factor=1.5)
        drawn[f"attention/{site.name}"] = wandb.Image(Image.open(file))
    return drawn


def tables(run: Path) -> dict[str, wandb.Table]:
    found = {"tables/attention": attention_table(run)}
    described = json.loads((run / names.PREDICTIONS / "test.json").read_text(encoding="utf-8"))
    kind = f"{described['draws']}s" if described.get("draws") else "predictions"
    found[f"tables/{kind}"] = predictions_table(described)
    if described["variables"]:
        with np.load(run / names.PREDICTIONS / "test.npz") as arrays:
            found["tables/forecasts"] = forecasts_table(described, dict(arrays))
    return {name: table for name, table in found.items() if table.data}


def attention_table(run: Path) -> wandb.Table:
    """One row per example, site and head of the last epoch.

    Entropy in bits, the mean over the queries that look at something; peak the mean of their largest weights.
    """
    attention = AttentionRecord(run)
    table = wandb.Table(columns=["epoch", "example", "reads", "site", "head", "entropy", "peak", "map"])
    examples = attention.overview()["examples"] if attention.epochs else []
    for number, example in enumerate(examples):
        for site in attention.sites():
            for head in range(site.heads):
                weights, _ = attention.weights(attention.epochs[-1], site.name, number, head)
                bits = [value for value in entropy(weights) if value is not None]
                if bits:
                    peaks = weights.max(1)[weights.sum(1) > 0]
                    table.add_data(
                        attention.epochs[-1],
                        example["index"],
                        " ".join(example["inputs"]),
                        site.name,
                        head,
                        float(np.mean(bits)),
                        float(peaks.mean()),
                        _thumbnail(weights),
                    )
    return table


def predictions_table(described: dict[str, Any]) -> wandb.Table:
    """One row per example: what it reads, what was asked, what was said, and how good that is."""
    examples = described["examples"]
    scores = sorted({name for example in examples for name in example["scores"]})
    table = wandb.Table(columns=["example", "reads", "question", "asked", "said", *scores], allow_mixed_types=True)
    for example in examples:
        reads, asked, said = (" ".join(example[part]) for part in ("inputs", "asked", "said"))
        judged = (example["scores"].get(name) for name in scores)
        table.add_data(example["index"], reads, example["question"] or "", asked, said, *judged)
    return table


def forecasts_table(described: dict[str, Any], arrays: dict[str, np.ndarray]) -> wandb.Table:
    """One row per example, variable and step that was measured, in the variable's own unit."""
    table = wandb.Table(columns=["example", "variable", "step", "measured", "forecast", "error"])
    for number, example in enumerate(described["examples"]):
        for column, variable in enumerate(described["variables"]):
            mean, scale = variable["mean"], variable["scale"]
            for step in np.flatnonzero(arrays["target_mask"][number, :, column]):
                if len(table.data) == MAX_ROWS:
                    return table
                measured = float(arrays["targets"][number, step, column]) * scale + mean
                forecast = float(arrays["predictions"][number, step, column]) * scale + mean
                table.add_data(
                    example["index"], variable["name"], int(step) + 1, measured, forecast, abs(forecast - measured)
                )
    return table


def _thumbnail(weights: np.ndarray) -> wandb.Image:
    """Darker is more; a row for each query, a column for each item."""
    grey = Image.fromarray((255 * (1 - np.clip(weights, 0, 1))).astype(np.uint8))
    factor = max(1, THUMBNAIL // max(grey.size))
    return wandb.Image(grey.resize((grey.width * factor, grey.height * factor), Image.Resampling.NEAREST))
