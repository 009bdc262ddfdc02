"""What the page Compare computes, on values that can be worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from tests.dashboard.records import write_run

from attnlab.dashboard.app import create_app
from attnlab.dashboard.compare_api import (
    MAX_CURVES,
    compared,
    curves_of,
    differences,
    drawn_runs,
    importance,
    of_one_data_set,
    pareto_front,
)
from attnlab.dashboard.index import RunIndex
from attnlab.dashboard.runs_api import group_rows
from attnlab.runs.store import read_metrics


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return RunIndex(folder).rows()


def parameter(key: str, *values: Any) -> dict[str, Any]:
    return {"keys": [key], "values": list(values), "given": [True] * len(values)}


def test_the_front_has_what_no_other_run_beats() -> None:
    runs = [("cheap", 1.0, 0.5), ("worse", 2.0, 0.4), ("better", 2.0, 0.7), ("dear", 9.0, 0.7), ("twin", 1.0, 0.5)]
    assert pareto_front(runs, rising=True) == ["cheap", "twin", "better"]
    assert pareto_front(runs, rising=False) == ["cheap", "twin", "worse"]
    assert pareto_front([], rising=True) == []


def test_eta_squared_by_hand() -> None:
    # means 2 and 6 around 4: between 4 · 2² = 16; within 2 · (1 + 1) = 4; 0.8. Less chance: (16 - 4 / 2) / 20 = 0.7.
    (found,) = importance([parameter("encoder", "gru", "gru", "lstm", "lstm", "tcn")], [1.0, 3.0, 5.0, 7.0, None])
    assert (found["eta"], found["epsilon"], found["levels"]) == (pytest.approx(0.8), pytest.approx(0.7), 2)


def test_a_parameter_with_a_value_a_run_explains_nothing() -> None:
    assert importance([parameter("dim", 1, 2, 3)], [1.0, 2.0, 4.0]) == []
    assert importance([parameter("encoder", "gru", "gru", "lstm")], [2.0, 2.0, 2.0]) == []


def test_the_seed_is_no_parameter() -> None:
    seed = {**parameter("data.seed", 1, 1, 2, 2), "keys": ["seed", "data.seed"]}
    scores = [1.0, 3.0, 5.0, 7.0]
    assert importance([seed], scores) == []
    assert [line["keys"] for line in importance([seed, parameter("dim", 8, 8, 16, 16)], scores)] == [["dim"]]


def test_a_parameter_is_judged_by_the_runs_that_have_it() -> None:
    layers = {**parameter("encoder.num_layers", 1, 1, 2, 2, None), "given": [True, True, True, True, False]}
    (found,) = importance([layers], [1.0, 3.0, 5.0, 7.0, 900.0])
    assert (found["eta"], found["runs"]) == (pytest.approx(0.8), 4)


def test_keys_that_change_together_stand_in_one_line(tmp_path: Path) -> None:
    write_run(tmp_path / "a", encoder="gru", dim=16, optimizer={"lr": 0.1})
    write_run(tmp_path / "b", encoder="lstm", dim=64, optimizer={"lr": 0.1})
    write_run(tmp_path / "c", encoder="lstm", dim=64, optimizer={"lr": 0.2})
    found = differences(rows_of(tmp_path))
    assert [(line["keys"], line["values"]) for line in found] == [
        (["dim", "encoder"], [16, 64, 64]),
        (["optimizer.lr"], [0.1, 0.1, 0.2]),
    ]


def test_runs_on_different_data_are_not_compared(tmp_path: Path) -> None:
    for name, data in (("a", "reverse"), ("b", "sort"), ("c", "sort")):
        write_run(tmp_path / name, data=data)
    facts, kept = of_one_data_set(rows_of(tmp_path), "")
    assert facts == {"data": "sort", "data_sets": ["reverse", "sort"]}
    assert [row["id"] for row in kept] == ["b", "c"]
    assert [row["id"] for row in of_one_data_set(rows_of(tmp_path), "reverse")[1]] == ["a"]


def test_a_band_is_the_mean_over_runs_where_all_have_been(tmp_path: Path) -> None:
    write_run(tmp_path / "a", curve=[0.2, 0.4, 0.6])
    write_run(tmp_path / "b", seed=2, curve=[0.4, 0.4])
    runs = [(row, read_metrics(tmp_path / row["id"])) for row in rows_of(tmp_path)]
    single = curves_of(runs, "", [])
    assert (single["metric"], single["metrics"], single["rising"]) == ("val/exact_match", ["val/exact_match"], True)
    assert [point["step"] for point in single["curves"][0]["points"]] == [10, 20, 30]
    assert [point["examples"] for point in single["curves"][0]["points"]] == [160, 320, 480]
    (band,) = curves_of(runs, "", ["encoder", "dim"])["curves"]
    first, second = band["points"]
    assert (band["name"], band["runs"]) == ("gru, 32", 2)
    # Student's t for one degree of freedom is 12.706, and the deviation of 0.2 and 0.4 over √2 is 0.1.
    assert (first["value"], first["high"] - first["value"]) == (pytest.approx(0.3), pytest.approx(1.2706, rel=1e-4))
    assert (second["value"], second["low"]) == (pytest.approx(0.4), pytest.approx(0.4))


def started(name: str, minute: int, status: str = "finished", attention: str = "dot") -> dict[str, Any]:
    facts = {"id": name, "status": status, "started": f"2026-11-20T10:{minute:02}:00+00:00"}
    return {**facts, "choices": {"attention": attention}, "config": {}, "summary": {}}


def test_of_too_many_runs_those_in_training_and_the_newest_are_drawn() -> None:
    old = [started(f"b{number:02}", number % 60) for number in range(1, MAX_CURVES + 1)]
    rows = [started("a_running", 0, "running"), *old, started("c_newest", 59)]
    kept = [row["id"] for row in drawn_runs(rows, [])]
    assert len(kept) == MAX_CURVES
    assert (kept[0], kept[-1]) == ("a_running", "c_newest")
    assert {row["id"] for row in rows} - set(kept) == {"b01", "b60"}  # of minutes 1 and 0
    assert drawn_runs(rows[:MAX_CURVES], []) == rows[:MAX_CURVES]


def test_groups_are_made_before_curves_are_left_out() -> None:
    pairs = [started(f"{number:02}{seed}", number % 60, attention=str(number)) for number in range(61) for seed in "ab"]
    assert drawn_runs(pairs, ["data"]) == pairs  # all in one
    gone = [row["id"] for row in pairs if row not in drawn_runs(pairs, ["attention"])]
    assert gone == ["00a", "00b"]  # 60 began in the same minute, and its name is later


def test_the_server_counts_the_runs_that_it_leaves_out(tmp_path: Path) -> None:
    for number in range(MAX_CURVES + 1):
        write_run(tmp_path / f"run{number:02}", status="running" if number == MAX_CURVES else "finished", seed=number)
    client = TestClient(create_app(tmp_path), base_url="http://127.0.0.1")
    single = client.get("/api/curves").json()
    assert (len(single["curves"]), single["left_out"]) == (MAX_CURVES, 1)
    assert single["curves"][-1]["name"] == f"run{MAX_CURVES}"
    grouped = client.get("/api/curves?by=encoder").json()
    assert ([curve["runs"] for curve in grouped["curves"]], grouped["left_out"]) == ([MAX_CURVES + 1], 0)


def test_groups_have_mean_and_interval_and_never_mix_metrics(tmp_path: Path) -> None:
    for name, attention, seed, value in (("a", "dot", 1, 0.2), ("b", "dot", 2, 0.4), ("c", "none", 1, 0.1)):
        write_run(tmp_path / name, attention=attention, seed=seed, value=value)
    write_run(tmp_path / "d", attention="dot", status="running")
    dot, none, running = group_rows(rows_of(tmp_path), ["attention"])
    assert (dot["key"], dot["runs"], dot["seeds"]) == ({"attention": "dot"}, ["a", "b"], 2)
    assert dot["value"] == {"mean": pytest.approx(0.3), "half_width": pytest.approx(1.2706, rel=1e-4), "count": 2}
    assert none["value"] == {"mean": 0.1, "half_width": None, "count": 1}
    assert (running["metric"], running["key"]) == ("val/exact_match", {"attention": "dot"})


def test_nothing_is_compared_where_there_is_nothing() -> None:
    found = compared([], "")
    assert (found["runs"], found["differences"], found["importance"]) == ([], [], [])
    assert curves_of([], "", [])["curves"] == []
