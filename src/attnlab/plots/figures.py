"""Which pictures a run gets, by what it predicts and what it looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import numpy as np
from torch import Tensor

from attnlab.batch import Batch
from attnlab.data.base import DataModule, Split
from attnlab.data.forecasting import Forecasting
from attnlab.data.metrics import tour_length
from attnlab.data.polygons import Polygons
from attnlab.data.triangulations import read_triangles
from attnlab.model import Model
from attnlab.plots.attention import plot_attention
from attnlab.plots.forecasts import plot_forecast
from attnlab.plots.places import places_of
from attnlab.plots.polygons import plot_polygons
from attnlab.training.callbacks import attention_maps

#: How many test examples are drawn beside each other.
NUM_DRAWN = 3
#: Look-back rows drawn beside a forecast: more would flatten what matters.
DRAWN_PAST = 72


def charts(model: Model, data: DataModule, batch: Batch, answers: Tensor) -> dict[str, Any]:
    """Pictures of the first test examples of a batch, and of what the head looked at in the first of them."""
    drawn: dict[str, Any] = {}
    if isinstance(data, Forecasting):
        drawn["forecast"] = _forecasts(data, batch, answers)
    elif data.draws is not None:
        draw = {"tour": _tours, "hull": _hulls, "triangulation": _triangulations}[data.draws]
        drawn[f"{data.draws}s"] = alt.hconcat(*draw(batch, answers))
    device = next(model.parameters()).device
    maps = attention_maps(model, batch.each(lambda field: field[:1]).to(device))
    looked = {site: weights for site, weights in maps.items() if site == "head.attention"}
    of_variables = model.encoder.of_variables
    for chart in attention_charts(
        data, looked, "test", 0, answers[0], length=batch.inputs.shape[1], of_variables=of_variables
    ).values():
        drawn["attention"] = chart
    return drawn


def attention_charts(
    data: DataModule,
    maps: Mapping[str, np.ndarray],
    split: Split,
    index: int,
    answer: Tensor,
    *,
    length: int,
    of_variables: bool = False,
) -> dict[str, Any]:
    """A heat-map of every site for one example, the mean over its heads, with what stands at each place on the axes.

    Args:
        maps: site → weights [examples, heads, queries, items], as attention_maps makes them; the first is drawn.
        index: its number in its split.
        answer: what the model answered to it.
        length: of the inputs in the batch, padding included.
        of_variables: whether the encoder's states belong to variables.
    """
    inputs = data.input_labels(split, index)
    said = data.answer_labels(split, index, answer)
    variables = data.variable_labels() if of_variables else []
    drawn = {}
    for site, weights in maps.items():
        shown = weights[0].astype(np.float32).mean(0)  # [Q, K]
        places = places_of(site, shown.shape, length, inputs, said, variables, data.first_items)
        drawn[site] = plot_attention(
            shown[: len(places.rows), : len(places.columns)],  # without the padding
            places.rows,
            places.columns,
            title=f"what {site} looked at",
            row_title=places.row_title,
            column_title=places.column_title,
        )
    return drawn


def _forecasts(data: Forecasting, batch: Batch, answers: Tensor) -> Any:
    schema = data.schema
    count = schema.num_targets
    mean, scale = np.array(schema.mean[:count]), np.array(schema.scale[:count])
    drawn = []
    for index in _spread(batch.num_examples):
        past = batch.inputs[index, -DRAWN_PAST:, :count].numpy() * scale + mean
        truth = batch.targets[index].numpy() * scale + mean
        forecast = answers[index].numpy() * scale + mean
        drawn.append(
            plot_forecast(
                past,
                truth,
                batch.target_mask[index].numpy(),
                forecast,
                schema.targets,
                title=f"test example {index + 1} of {batch.num_examples}",
            )
        )
    return alt.hconcat(*drawn)


def _tours(batch: Batch, answers: Tensor) -> list[Any]:
    lengths = tour_length(batch.inputs, answers, batch.target_mask)
    optimal = tour_length(batch.inputs, batch.targets, batch.target_mask)
    drawn = []
    for index in range(min(NUM_DRAWN, batch.num_examples)):
        count = int(batch.input_mask[index].sum())
        title = f"length {lengths[index]:.3f}, optimal {optimal[index]:.3f}"
        predicted, best = (field[index, :count].tolist() for field in (answers, batch.targets))
        drawn.append(plot_polygons(batch.inputs[index, :count].numpy(), [predicted], [best], title=title))
    return drawn


def _hulls(batch: Batch, answers: Tensor) -> list[Any]:
    said, hulls = (Polygons.of(batch.inputs, corners) for corners in (answers, batch.targets))
    covered, simple = said.area / hulls.area, said.simple
    drawn = []
    for index in range(min(NUM_DRAWN, batch.num_examples)):
        title = f"{100 * covered[index]:.1f} % of the hull's area" if simple[index] else "no simple polygon"
        points = batch.inputs[index, batch.input_mask[index]].numpy()
        predicted, true = (one.corners[index, one.real[index]].tolist() for one in (said, hulls))
        drawn.append(plot_polygons(points, [predicted], [true], title=title))
    return drawn


def _triangulations(batch: Batch, answers: Tensor) -> list[Any]:
    drawn = []
    for index in range(min(NUM_DRAWN, batch.num_examples)):
        said, true = (
            [triangle for triangle in read_triangles(field[index, None])[0][0].tolist() if min(triangle) >= 0]
            for field in (answers, batch.targets)
        )
        title = f"{sum(triangle in said for triangle in true)} of {len(true)} triangles"
        drawn.append(plot_polygons(batch.inputs[index, batch.input_mask[index]].numpy(), said, true, title=title))
    return drawn


def _spread(count: int) -> list[int]:
    return sorted({round(index) for index in np.linspace(0, count - 1, min(NUM_DRAWN, count))})
