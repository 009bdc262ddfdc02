from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest

from attnlab.errors import UserError
from attnlab.runs.maps import AttentionRecord, Site, distance_profile, entropy, packed

INPUTS = ["a", "b", "c"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two epochs of one example of three tokens, padded to four, with two heads."""
    folder = tmp_path / "attention"
    folder.mkdir()
    weights = np.zeros((1, 2, 5, 4), dtype=np.float16)
    weights[0, 0, :3, :3] = np.eye(3)
    weights[0, 1, :3, :3] = np.eye(3)[::-1]
    for epoch in (0, 3):
        np.savez_compressed(folder / f"epoch_{epoch:03d}.npz", **{"head.attention": weights})
    described = {"split": "val", "input": "tokens", "padded_length": 4}
    (folder / "examples.json").write_text(
        json.dumps({**described, "examples": [{"index": 7, "inputs": INPUTS, "question": None}]})
    )
    (folder / "epoch_003.json").write_text(json.dumps({"step": 40, "said": [["x", "y", "z"]]}))
    return tmp_path


def test_there_is_a_choice_of_epochs_sites_and_examples(run: Path) -> None:
    record = AttentionRecord(run)
    assert record.epochs == [0, 3]
    assert record.sites() == [Site("head.attention", heads=2, queries=5, items=4)]
    assert record.overview()["examples"] == [{"index": 7, "inputs": INPUTS, "question": None}]


def test_a_map_has_names_and_no_padding(run: Path) -> None:
    found = AttentionRecord(run).map(3, "head.attention", 0, head=1)
    assert (found["rows"], found["row_title"]) == (["x", "y", "z"], "said")
    assert (found["columns"], found["column_title"]) == (INPUTS, "read")
    cells = np.frombuffer(base64.b64decode(found["weights"]["cells"]), dtype="<u2").reshape(3, 3)
    np.testing.assert_array_equal(cells, 65535 * np.eye(3, dtype=int)[::-1])
    assert found["entropy"] == [0, 0, 0]
    assert found["distance"] == [
        {"distance": -2, "weight": 1.0},
        {"distance": -1, "weight": 0.0},
        {"distance": 0, "weight": pytest.approx(1 / 3)},
        {"distance": 1, "weight": 0.0},
        {"distance": 2, "weight": 1.0},
    ]


def test_where_states_belong_to_variables_their_names_are_on_both_axes(run: Path) -> None:
    file = run / "attention" / "examples.json"
    described = json.loads(file.read_text()) | {"input": "series", "variables": ["load", "wind", "rain", "sine of day"]}
    file.write_text(json.dumps(described))
    weights = np.ones((1, 1, 4, 4), dtype=np.float16) / 4
    np.savez_compressed(run / "attention" / "epoch_003.npz", **{"encoder.layers.0.attention": weights})
    found = AttentionRecord(run).map(3, "encoder.layers.0.attention", 0)
    assert found["rows"] == found["columns"] == described["variables"]
    assert found["row_title"] == found["column_title"] == "variable"
    assert found["distance"] is None  # no variable is nearer than another


def test_without_a_head_the_mean_of_all_is_shown(run: Path) -> None:
    weights, _ = AttentionRecord(run).weights(3, "head.attention", 0)
    np.testing.assert_array_equal(weights, [[0.5, 0, 0.5], [0, 1, 0], [0.5, 0, 0.5]])


def test_an_epoch_whose_answers_are_not_known_has_numbered_steps(run: Path) -> None:
    found = AttentionRecord(run).map(0, "head.attention", 0)
    assert found["rows"] == ["1", "2", "3", "4", "5"]


def test_an_old_record_has_numbers_for_names(run: Path) -> None:
    (run / "attention" / "examples.json").unlink()
    record = AttentionRecord(run)
    assert record.overview()["described"] is False
    assert len(record.overview()["examples"]) == 1
    found = record.map(3, "head.attention", 0)
    assert (len(found["rows"]), found["columns"], found["column_title"]) == (5, ["1", "2", "3", "4"], "item")


def test_forecasts_stand_behind_what_is_read(run: Path) -> None:
    file = run / "attention" / "examples.json"
    file.write_text(
        file.read_text().replace('"tokens"', '"series"').replace('"padded_length": 4', '"padded_length": 3')
    )
    with np.load(run / "attention" / "epoch_003.npz") as stored:
        weights = stored["head.attention"][..., :3]
    np.savez_compressed(run / "attention" / "epoch_003.npz", **{"head.attention": weights})
    found = AttentionRecord(run).map(3, "head.attention", 0, head=0)
    assert found["row_title"] == "forecast for"
    assert {bin["distance"]: bin["weight"] for bin in found["distance"]}[-3] == 1  # each looks three rows back


def test_cities_are_neither_near_nor_far(run: Path) -> None:
    file = run / "attention" / "examples.json"
    file.write_text(file.read_text().replace('"tokens"', '"points"'))
    assert AttentionRecord(run).map(3, "head.attention", 0)["distance"] is None


def test_what_is_half_written_is_passed_over_or_named(run: Path) -> None:
    whole = (run / "attention" / "epoch_003.npz").read_bytes()
    (run / "attention" / "epoch_004.npz").write_bytes(whole[: len(whole) // 2])
    record = AttentionRecord(run)
    assert record.epochs == [0, 3, 4]
    assert [site.name for site in record.sites()] == ["head.attention"]
    with pytest.raises(UserError, match=r"epoch_004\.npz is broken or half-written"):
        record.map(4, "head.attention", 0)


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ((9, "head.attention", 0, None), "epoch 9, but for 0, 3"),
        ((3, "encoder", 0, None), "encoder is no site of this run; it has head.attention"),
        ((3, "head.attention", 1, None), "1 examples and 2 heads"),
        ((3, "head.attention", 0, 2), "1 examples and 2 heads"),
    ],
)
def test_what_there_is_not_is_refused(run: Path, choice: tuple[int, str, int, int | None], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        AttentionRecord(run).map(*choice)


def test_a_run_without_attention_has_nothing_to_choose_from(tmp_path: Path) -> None:
    overview = AttentionRecord(tmp_path).overview()
    assert (overview["epochs"], overview["sites"], overview["examples"]) == ([], [], [])


def test_entropy_is_0_for_one_item_and_1_bit_for_two_alike() -> None:
    weights = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0, 0], [0.2, 0.2, 0, 0]])
    assert entropy(weights) == [0, 1, 2, None, 1]  # the last does not sum to 1: its shares count


def test_the_weight_at_a_distance_is_a_mean_over_the_queries_that_have_an_item_there() -> None:
    weights = np.array([[1.0, 0, 0], [0.5, 0.5, 0], [0, 0, 0]])  # the last looks at nothing
    assert distance_profile(weights) == [
        {"distance": -1, "weight": 0.5},
        {"distance": 0, "weight": 0.75},
        {"distance": 1, "weight": 0.0},
        {"distance": 2, "weight": 0.0},
    ]


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.25), (-0.5, 0.7), (0.0, 0.0)])
def test_packing_keeps_four_digits(low: float, high: float) -> None:
    weights = np.linspace(low, high, 35).reshape(5, 7)
    sent = packed(weights)
    cells = np.frombuffer(base64.b64decode(sent["cells"]), dtype="<u2").reshape(sent["shape"])
    np.testing.assert_allclose(sent["low"] + (sent["high"] - sent["low"]) * cells / 65535, weights, atol=1e-5)
