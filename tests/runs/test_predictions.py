from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attnlab.errors import UserError
from attnlab.runs.predictions import PredictionRecord, closed


def write(run: Path, described: dict[str, Any], looked: np.ndarray | None = None, **arrays: Any) -> PredictionRecord:
    folder = run / "predictions"
    folder.mkdir(exist_ok=True)
    np.savez_compressed(folder / "test.npz", **{name: np.asarray(array) for name, array in arrays.items()})
    shared = {"split": "test", "variables": [], "padded_length": 3, "looked": []}
    (folder / "test.json").write_text(json.dumps({**shared, **described}))
    if looked is not None:
        np.savez_compressed(folder / "attention.npz", **{"head.attention": looked})
    return PredictionRecord(run)


def about(index: int, scores: dict[str, float | None], **labels: Any) -> dict[str, Any]:
    return {"index": index, "question": None, "scores": scores, **labels}


@pytest.fixture
def sequences(tmp_path: Path) -> PredictionRecord:
    """Three answers: right, wrong in one step, and one that ended too early."""
    labels = {"inputs": ["a", "b"], "asked": ["b", "a", "■"]}
    examples = [
        about(0, {"accuracy": 1.0, "exact_match": 1.0}, said=["b", "a", "■"], **labels),
        about(5, {"accuracy": 2 / 3, "exact_match": 0.0}, said=["b", "b", "■"], **labels),
        about(9, {"accuracy": 1 / 3, "exact_match": 0.0}, said=["b"], **labels),
    ]
    kinds = {"input": "tokens", "output": "token sequence", "key_metric": "exact_match", "key_mode": "max"}
    return write(
        tmp_path,
        {**kinds, "examples": examples, "looked": [1]},
        looked=np.arange(12.0).reshape(1, 4, 3),
        inputs=[[2, 3, 0]] * 3,
        input_mask=[[True, True, False]] * 3,
        targets=[[3, 2, 1, 0]] * 3,
        target_mask=[[True, True, True, False]] * 3,
        predictions=[[3, 2, 1], [3, 3, 1], [3, 0, 0]],
    )


def test_the_worst_answers_come_first(sequences: PredictionRecord) -> None:
    overview = sequences.overview()
    assert [example["position"] for example in overview["examples"]] == [2, 1, 0]  # of equal ones the less accurate
    assert (overview["kind"], overview["metric"], overview["rising"]) == ("sequence", "exact_match", True)


def test_errors_of_a_sequence_are_marked(sequences: PredictionRecord) -> None:
    assert [step["right"] for step in sequences.example(1)["steps"]] == [True, False, True]
    assert sequences.example(2)["steps"][1] == {"said": "", "asked": "a", "right": False}  # it ended too early


def test_what_was_looked_at_is_shown_without_padding_where_it_was_kept(sequences: PredictionRecord) -> None:
    assert sequences.example(0)["looked"] == {}
    assert sequences.example(1)["looked"]["head.attention"]["shape"] == [3, 2]


def test_an_example_that_could_not_be_judged_comes_last(tmp_path: Path) -> None:
    labels = {"inputs": ["1", "2"], "said": ["0.5"], "asked": ["0.4"]}
    examples = [about(0, {"mae": 0.1}, **labels), about(1, {"mae": None}, **labels), about(2, {"mae": 0.3}, **labels)]
    kinds = {"input": "series", "output": "number", "key_metric": "mae", "key_mode": "min"}
    record = write(
        tmp_path,
        {**kinds, "examples": examples},
        inputs=np.zeros((3, 2, 1)),
        targets=np.zeros((3, 1, 1)),
        target_mask=np.ones((3, 1, 1), dtype=bool),
        predictions=np.zeros((3, 1, 1)),
    )
    assert [example["position"] for example in record.overview()["examples"]] == [2, 0, 1]
    assert record.example(0)["steps"] == [{"said": "0.5", "asked": "0.4", "right": None}]


def test_labels_at_steps_are_judged_where_one_is_asked(tmp_path: Path) -> None:
    example = about(0, {"accuracy": 0.5}, inputs=["4", "5", "6"], said=["·", "1", "2"], asked=["·", "1", "3"])
    kinds = {"input": "tokens", "output": "step labels", "key_metric": "accuracy", "key_mode": "max"}
    record = write(
        tmp_path,
        {**kinds, "examples": [example]},
        inputs=[[4, 5, 6]],
        input_mask=[[True] * 3],
        targets=[[0, 1, 3]],
        target_mask=[[False, True, True]],
        predictions=[[7, 1, 2]],
    )
    assert [step["right"] for step in record.example(0)["steps"]] == [None, True, False]


@pytest.fixture
def forecasts(tmp_path: Path) -> PredictionRecord:
    """Eleven windows of two variables; the second is wrong by its window's number, in scaled units."""
    count = 11
    targets = np.zeros((count, 2, 2))
    targets[..., 1] = np.arange(count)[:, None]
    mask = np.ones(targets.shape, dtype=bool)
    mask[3, 1, 1] = False
    labels = {"inputs": ["01:00", "02:00", "03:00"], "said": ["04:00", "05:00"], "asked": ["04:00", "05:00"]}
    variables = [{"name": "load", "mean": 0, "scale": 1}, {"name": "rain", "mean": 100.0, "scale": 10.0}]
    kinds = {"input": "series", "output": "forecast", "key_metric": "mae", "key_mode": "min", "variables": variables}
    return write(
        tmp_path,
        {**kinds, "examples": [about(index, {"mae": index / 2}, **labels) for index in range(count)]},
        inputs=np.ones((count, 3, 4)),
        input_mask=np.ones((count, 3), dtype=bool),
        targets=targets,
        target_mask=mask,
        predictions=np.zeros((count, 2, 2)),
    )


def test_a_forecast_is_in_the_variables_own_unit(forecasts: PredictionRecord) -> None:
    shown = forecasts.example(3, variable=1)
    assert shown["variable"] == "rain"
    assert shown["past"][-1] == {"time": "03:00", "value": 110}
    assert [(step["truth"], step["forecast"]) for step in shown["future"]] == [(130, 100), (None, 100)]


def test_a_band_is_made_of_the_errors_of_the_other_examples(forecasts: PredictionRecord) -> None:
    shown = forecasts.example(10, variable=1)
    assert shown["band"] == {"share": pytest.approx(0.8), "examples": 10}
    others = np.arange(10.0)
    low, high = np.quantile(others, [0.1, 0.9])
    assert shown["future"][0]["low"] == pytest.approx(100 + 10 * low)
    assert shown["future"][0]["high"] == pytest.approx(100 + 10 * high)
    without_missing = np.delete(others, 3)
    assert shown["future"][1]["high"] == pytest.approx(100 + 10 * np.quantile(without_missing, 0.9))


def test_few_examples_make_no_band(tmp_path: Path) -> None:
    labels = {"inputs": ["1"], "said": ["2"], "asked": ["2"]}
    kinds = {"input": "series", "output": "forecast", "key_metric": "mae", "key_mode": "min"}
    variables = [{"name": "load", "mean": 0, "scale": 1}]
    arrays = {name: np.zeros((3, 1, 1)) for name in ("inputs", "targets", "predictions")}
    described = {**kinds, "variables": variables, "examples": [about(0, {"mae": 0.0}, **labels)] * 3}
    shown = write(tmp_path, described, target_mask=np.ones((3, 1, 1), dtype=bool), **arrays).example(0)
    assert shown["band"] is None
    assert shown["future"][0]["low"] is None


def test_a_tour_is_shown_by_its_legs_whichever_way_it_runs(tmp_path: Path) -> None:
    example = about(4, {"gap": 0.0}, inputs=list("0123"), said=list("1032"), asked=list("0123"))
    kinds = {"input": "points", "output": "pointer sequence", "key_metric": "gap", "key_mode": "min"}
    points = [[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]]
    record = write(
        tmp_path,
        {**kinds, "padded_length": 5, "looked": [0], "examples": [example]},
        looked=np.full((1, 5, 5), 0.2),
        inputs=points,
        input_mask=[[True] * 4 + [False]],
        targets=[[0, 1, 2, 3, 0]],
        target_mask=[[True] * 4 + [False]],
        predictions=[[1, 0, 2, 3, 4]],
    )
    shown = record.example(0)
    assert record.kind == "tour"
    assert shown["points"] == [[0, 0], [0, 1], [1, 1], [1, 0]]
    pieces = [(piece["places"], piece["right"], piece["after"]) for piece in shown["pieces"]]
    # the first leg is known when two cities are, the way home with the whole
    assert pieces == [([1, 0], True, 2), ([0, 2], False, 3), ([2, 3], True, 4), ([3, 1], False, 4)]
    assert shown["true_pieces"] == [[0, 1], [1, 2], [2, 3], [3, 0]]
    assert shown["first_items"] == []
    assert shown["looked"]["head.attention"]["shape"] == [4, 4]


def ended(
    run: Path, draws: str, predictions: list[list[int]], targets: list[list[int]], **scores: Any
) -> PredictionRecord:
    """Answers on the same four points, whose end is -1."""
    labels = [[str(place) if place >= 0 else "■" for place in said] for said in predictions]
    examples = [
        about(index, {name: values[index] for name, values in scores.items()}, inputs=list("0123"), said=said, asked=[])
        for index, said in enumerate(labels)
    ]
    kinds = {"input": "points", "output": "pointer sequence with an end", "draws": draws, "first_items": ["■"]}
    count = len(predictions)
    return write(
        run,
        {**kinds, "key_metric": "accuracy", "key_mode": "max", "padded_length": 5, "looked": [0], "examples": examples},
        looked=np.full((1, 9, 6), 0.2),
        inputs=[[[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]]] * count,
        input_mask=[[True] * 4 + [False]] * count,
        targets=targets,
        target_mask=np.array(targets) >= -1,
        predictions=predictions,
    )


def test_a_hull_is_shown_by_its_legs_up_to_its_end(tmp_path: Path) -> None:
    record = ended(tmp_path, "hull", [[1, 2, 0, -1, -1]], [[0, 2, 3, 1, -1]], accuracy=[0.0])
    shown = record.example(0)
    assert record.kind == "hull"
    assert shown["said"] == [1, 2, 0, -1]
    pieces = [(piece["places"], piece["right"], piece["after"]) for piece in shown["pieces"]]
    assert pieces == [([1, 2], False, 2), ([2, 0], True, 3), ([0, 1], True, 4)]  # home with the end
    assert shown["true_pieces"] == [[0, 2], [2, 3], [3, 1], [1, 0]]
    assert shown["looked"]["head.attention"]["shape"] == [5, 5]  # the end and four points; as many steps as were kept


def test_a_triangulation_is_shown_by_its_whole_triangles(tmp_path: Path) -> None:
    record = ended(tmp_path, "triangulation", [[2, 1, 0, 0, 1, 3, 2, -1]], [[0, 1, 2, 0, 2, 3, -1, 0]], accuracy=[0.0])
    shown = record.example(0)
    assert record.kind == "triangulation"
    pieces = [(piece["places"], piece["right"], piece["after"]) for piece in shown["pieces"]]
    assert pieces == [([2, 1, 0], True, 3), ([0, 1, 3], False, 6)]
    assert shown["true_pieces"] == [[0, 1, 2], [0, 2, 3]]


@pytest.mark.parametrize("draws", ["hull", "triangulation"])
def test_an_answer_that_names_nothing_draws_nothing(draws: str, tmp_path: Path) -> None:
    record = ended(tmp_path, draws, [[-1, -1], [2, -1]], [[0, 1, 2, -1]] * 2, accuracy=[0.0, 0.0])
    assert [(record.example(index)["said"], record.example(index)["pieces"]) for index in (0, 1)] == [
        ([-1], []),
        ([2, -1], []),
    ]


def test_a_polygon_without_an_area_is_worse_than_one_with_a_small_area(tmp_path: Path) -> None:
    predictions, targets = [[0, 1, 2, -1]] * 4, [[0, 1, 2, -1]] * 4
    record = ended(
        tmp_path, "hull", predictions, targets, accuracy=[0.0, 1.0, 0.0, 0.0], area_coverage=[0.9, 1.0, None, 0.2]
    )
    assert [example["position"] for example in record.overview()["examples"]] == [2, 3, 0, 1]


def test_numbers_that_are_pointed_at_are_shown_as_numbers(tmp_path: Path) -> None:
    example = about(0, {"exact_match": 1.0}, inputs=["0", "1"], said=["1", "0"], asked=["1", "0"])
    kinds = {"input": "points", "output": "pointer sequence", "key_metric": "exact_match", "key_mode": "max"}
    record = write(
        tmp_path,
        {**kinds, "padded_length": 2, "examples": [example]},
        inputs=[[[0.75], [0.25]]],
        input_mask=[[True] * 2],
        targets=[[1, 0]],
        target_mask=[[True] * 2],
        predictions=[[1, 0]],
    )
    shown = record.example(0)
    assert shown["inputs"] == ["0.750", "0.250"]
    assert [step["said"] for step in shown["steps"]] == ["0.250", "0.750"]


def test_what_cannot_be_shown_says_why(tmp_path: Path, sequences: PredictionRecord) -> None:
    with pytest.raises(UserError, match="3 test examples were kept, counted from 0; there is no 3"):
        sequences.example(3)
    (tmp_path / "predictions" / "test.json").unlink()
    with pytest.raises(UserError, match="recorded before predictions were described"):
        PredictionRecord(tmp_path)
    (tmp_path / "predictions" / "test.npz").write_bytes(b"PK")
    with pytest.raises(UserError, match="broken"):
        PredictionRecord(tmp_path)
    (tmp_path / "predictions" / "test.npz").unlink()
    with pytest.raises(UserError, match="has no predictions; they are kept when a training has finished"):
        PredictionRecord(tmp_path)


def test_a_closed_way_leads_home() -> None:
    assert closed([2, 0, 1]) == [(2, 0), (0, 1), (1, 2)]
