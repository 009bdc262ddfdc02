from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from attnlab.attention import NoAttention, ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import Dot
from attnlab.compose import build_model
from attnlab.data import TSP, ConvexHull, Delaunay, Forecasting, Reverse
from attnlab.data.base import DataModule
from attnlab.encoders import GRU
from attnlab.heads import Direct, Pointer, Seq2Seq
from attnlab.model import Model
from attnlab.plots.figures import attention_charts, charts

TOY = {"num_symbols": 3, "test_lengths": []}
SIZES = {"num_train": 4, "num_val": 4, "num_test": 5, "batch_size": 4, "seed": 1}
dot = partial(ScoredAttention, scorer=Dot, normalizer=Softmax, num_heads=1)


def model_for(data: DataModule, attention: Any = dot) -> Model:
    head: Any = {
        **dict.fromkeys((TSP, ConvexHull, Delaunay), partial(Pointer, hidden_dim=8)),
        Reverse: partial(Seq2Seq, hidden_dim=8),
        Forecasting: partial(Direct, hidden_dim=8, dropout=0.0, loss="mae"),
    }[type(data)]
    return build_model(
        data.spec,
        dim=8,
        encoder=partial(GRU, hidden_dim=8, num_layers=1, bidirectional=False, dropout=0.0),
        head=partial(head, attention=attention),
        attention=attention,
    ).eval()


def drawn(data: DataModule, attention: Any = dot) -> tuple[dict[str, Any], Any, torch.Tensor]:
    """The pictures of the test examples, the examples, and the answers."""
    model = model_for(data, attention)
    batch = data.source("test")[np.arange(5)]
    with torch.no_grad():
        answers = model.answer(batch)
    return charts(model, data, batch, answers), batch, answers


@pytest.fixture
def table(tmp_path: Path) -> Forecasting:
    random = np.random.default_rng(0)
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(120) * np.timedelta64(1, "h")
    rows = [f"{when},{1000 + 100 * a:.2f}" for when, a in zip(times, random.normal(size=120), strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["date,load", *rows]))
    sizes = {"lookback": 6, "horizon": 3, "season": 3, "batch_size": 8, "seed": 1, "split": [0.6, 0.2, 0.2]}
    return Forecasting(path=str(tmp_path / "a.csv"), time="date", targets=None, categorical=[], ignore=[], **sizes)


def test_forecasts_are_drawn_in_the_unit_of_the_file(table: Forecasting) -> None:
    pictures, _, answers = drawn(table)
    assert set(pictures) == {"forecast", "attention"}
    examples = pictures["forecast"].to_dict()["hconcat"]
    assert [example["title"] for example in examples] == [f"test example {index} of 5" for index in (1, 3, 5)]
    measured = table.table.numbers("load", "")
    rows = examples[0]["data"]["values"]  # of its only panel
    values = {what: [row["value"] for row in rows if row["what"] == what] for what in ("known", "truth", "forecast")}
    # 120 rows, of which the last 24 are the test part
    np.testing.assert_allclose(values["known"], measured[90:96], rtol=1e-5)
    np.testing.assert_allclose(values["truth"], measured[96:99], rtol=1e-5)
    expected = answers[0, :, 0].numpy() * table.schema.scale[0] + table.schema.mean[0]
    np.testing.assert_allclose(values["forecast"], expected, rtol=1e-5)


def test_tours_are_drawn_with_their_lengths(tmp_path: Path) -> None:
    pictures, batch, _ = drawn(TSP(num_points="4-6", **SIZES))
    assert set(pictures) == {"tours", "attention"}
    tours = pictures["tours"].to_dict()["hconcat"]
    assert len(tours) == 3
    for index, tour in enumerate(tours):
        length, optimal = (float(word) for word in tour["title"].replace("length ", "").split(", optimal "))
        assert length >= optimal - 1e-3
        assert len(tour["layer"][3]["data"]["values"]) == int(batch.input_mask[index].sum())


@pytest.mark.parametrize(("kind", "name"), [(ConvexHull, "hulls"), (Delaunay, "triangulations")])
def test_answers_that_end_are_drawn_over_the_true_ones(kind: Any, name: str) -> None:
    data = kind(num_points="4-6", **SIZES)
    pictures, batch, answers = drawn(data)
    assert set(pictures) == {name, "attention"}
    for index, picture in enumerate(pictures[name].to_dict()["hconcat"]):
        true, predicted, points, _ = (layer["data"]["values"] for layer in picture["layer"])
        assert len(points) == int(batch.input_mask[index].sum())
        target = batch.targets[index][batch.target_mask[index]].tolist()[:-1]
        size = 3 if kind is Delaunay else len(target)
        assert {row["polygon"] for row in true} == set(range(len(target) // size))
        assert len(true) == len(target) + len(target) // size  # each comes home
        assert len(predicted) <= 2 * len(answers[index])
        assert re.fullmatch(r"\d+\.\d % of the hull's area|no simple polygon|\d of \d triangles", picture["title"])
    cells = pictures["attention"].to_dict()["data"]["values"]
    assert {cell["column"] for cell in cells} == set(range(int(batch.input_mask[0].sum()) + 1))  # the end is the first
    perfect = charts(model_for(data), data, batch, batch.targets)[name].to_dict()["hconcat"][0]
    assert re.fullmatch(r"100\.0 % of the hull's area|(\d) of \1 triangles", perfect["title"])


def test_what_a_decoder_looked_at_is_drawn_without_the_padding() -> None:
    pictures, batch, _ = drawn(Reverse(length="2-6", **TOY, **SIZES))
    assert set(pictures) == {"attention"}
    cells = pictures["attention"].to_dict()["data"]["values"]
    count = int(batch.input_mask[0].sum())
    assert {(cell["row"], cell["column"]) for cell in cells} == {
        (row, column) for row in range(count + 1) for column in range(count)
    }
    for row in range(count + 1):
        assert sum(cell["weight"] for cell in cells if cell["row"] == row) == pytest.approx(1, abs=5e-3)


def test_a_model_that_attends_to_nothing_has_no_map_of_it(table: Forecasting) -> None:
    assert set(drawn(table, NoAttention)[0]) == {"forecast"}
    assert drawn(Reverse(length=3, **TOY, **SIZES), NoAttention)[0] == {}


@pytest.mark.parametrize("kind", ["tsp", "table"])
def test_pictures_can_be_saved_and_are_not_blank(kind: str, table: Forecasting, tmp_path: Path) -> None:
    data = table if kind == "table" else TSP(num_points=4, **SIZES)
    for name, chart in drawn(data)[0].items():
        chart.save(str(tmp_path / f"{name}.png"), scale_factor=1.5)
        pixels = np.asarray(Image.open(tmp_path / f"{name}.png").convert("RGB"))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 5


def axes(chart: Any) -> tuple[list[str], list[str], str, str]:
    """The labels of rows and columns, and what they are called."""
    drawn = chart.to_dict()
    found = []
    for axis in ("y", "x"):
        encoding = drawn["encoding"][axis]
        found.append(re.findall(r"'\d+':'([^']*)'", encoding["axis"]["labelExpr"]))
        found.append(encoding["title"])
    return found[0], found[2], found[1], found[3]


def weights(queries: int, items: int) -> np.ndarray:
    return np.random.default_rng(0).random((2, 1, queries, items), dtype=np.float32)


def test_the_axes_of_a_decoder_are_what_was_said_and_what_was_read() -> None:
    data = Reverse(length="2-6", **TOY, **SIZES)
    example = data.source("val")[np.array([2])]
    source, target = example.inputs[0][example.input_mask[0]], example.targets[0][example.target_mask[0]]
    maps = {"head.attention": weights(7, 6)}
    chart = attention_charts(data, maps, "val", 2, example.targets[0], length=6)["head.attention"]
    rows, columns, row_title, column_title = axes(chart)
    assert (row_title, column_title) == ("said", "read")
    assert rows == [*map(str, target[:-1].tolist()), "■"]
    assert columns == list(map(str, source.tolist()))


def test_the_axes_of_a_forecast_are_times(table: Forecasting) -> None:
    maps = {"head.attention": weights(3, 6)}
    chart = attention_charts(table, maps, "test", 1, torch.zeros(3, 1), length=6)["head.attention"]
    rows, columns, *_ = axes(chart)
    # the test part begins with row 96 of hourly rows from 2020-01-01 00:00; its second window forecasts rows 97 to 99
    assert rows == ["2020-01-05 01:00", "2020-01-05 02:00", "2020-01-05 03:00"]
    assert columns[0] == "2020-01-04 19:00"
    assert columns[-1] == "2020-01-05 00:00"


def test_the_axes_of_an_encoder_are_its_input_and_a_history_begins_late() -> None:
    data = Reverse(length=6, **TOY, **SIZES)
    tokens = data.input_labels("val", 0)
    assert len(tokens) == 6
    maps = {
        "encoder.layers.0.attention": weights(6, 6),
        "encoder.attention": weights(4, 4),  # a history: h_3 is the first that can look back, at h_1
        "encoder.up": weights(6, 2),  # two items of a tree's node
        "head.attention": weights(1, 11),  # memory slots
    }
    drawn = attention_charts(data, maps, "val", 0, torch.tensor([3]), length=6)
    assert axes(drawn["encoder.layers.0.attention"])[:2] == (tokens, tokens)
    assert axes(drawn["encoder.attention"])[:2] == (tokens[2:], tokens[:4])
    assert axes(drawn["encoder.up"])[:2] == (tokens, ["1", "2"])
    assert axes(drawn["head.attention"])[1] == [str(slot) for slot in range(1, 12)]
