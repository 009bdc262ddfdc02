from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from attnlab.plots.attention import MAX_MARKS, plot_attention


def drawn(weights: np.ndarray, rows: list[str] | None = None, columns: list[str] | None = None) -> Any:
    rows = rows or [f"q{index}" for index in range(weights.shape[0])]
    columns = columns or [f"k{index}" for index in range(weights.shape[1])]
    return plot_attention(weights, rows, columns, title="what it saw", row_title="said", column_title="read")


def test_each_weight_is_a_cell_in_its_row_and_column() -> None:
    weights = np.array([[0.25, 0.75, 0.0], [1.0, 0.0, 0.0]])
    chart = drawn(weights).to_dict()
    cells = {(cell["row"], cell["column"]): cell["weight"] for cell in chart["data"]["values"]}
    assert cells == {(i, j): weights[i, j] for i in range(2) for j in range(3)}
    assert chart["title"] == "what it saw"
    assert chart["encoding"]["x"]["title"] == "read"
    assert chart["encoding"]["y"]["title"] == "said"


def test_no_weight_is_white_whatever_the_smallest_is() -> None:
    scale = drawn(np.array([[0.4, 0.6]])).to_dict()["encoding"]["color"]["scale"]
    assert scale["domainMin"] == 0
    assert scale["range"][0] == "#FFFFFF"


def test_equal_labels_keep_rows_of_their_own() -> None:
    chart = drawn(np.eye(3), rows=["7", "7", "■"], columns=["it's", '"', "\\"])
    svg = io.StringIO()
    chart.save(svg, format="svg")
    assert svg.getvalue().count(">7<") == 2
    assert svg.getvalue().count(">■<") == 1
    assert svg.getvalue().count(">it's<") == 1
    assert svg.getvalue().count(">\\<") == 1


def test_of_many_labels_only_some_are_written() -> None:
    chart = drawn(np.full((1, 96), 1 / 96)).to_dict()
    assert chart["encoding"]["x"]["axis"]["values"] == list(range(0, 96, 4))


def test_a_large_map_is_one_picture_of_the_same_weights() -> None:
    weights = np.zeros((101, 103))
    weights[3, 5], weights[7, 2] = 0.5, 0.25
    assert weights.size > MAX_MARKS
    chart = drawn(weights).to_dict()
    (frame,) = chart["data"]["values"]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(frame["url"].partition(",")[2]))))
    assert picture.shape == (101, 103)
    assert (picture[3, 5], picture[7, 2]) == (0, 127)
    assert (picture == 255).sum() == picture.size - 2
    assert (frame["x2"], frame["y2"]) == (103, 101)


def test_a_large_map_without_any_weight_is_white() -> None:
    svg = io.StringIO()
    drawn(np.zeros((101, 103))).save(svg, format="svg")
    assert "<image" in svg.getvalue()


def test_labels_that_do_not_fit_the_weights_are_refused() -> None:
    with pytest.raises(ValueError, match=r"weights \(2, 2\) need 2 row and 2 column labels"):
        drawn(np.eye(2), rows=["a", "b", "c"])
