from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from attnlab.cli import run
from attnlab.data import Forecasting
from attnlab.data.metrics import ForecastErrors
from attnlab.runs.store import read_metrics
from attnlab.spec import DataSpec, StepLabels, Tokens
from attnlab.training.run import _spread_within_budget, train

GENERATED = ["data.num_train=64", "data.num_val=16", "data.num_test=16", "data.batch_size=16"]
SMALL = ["trainer=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=2", "dim=8"]
REVERSE = ["data=reverse", "data.length=3", *GENERATED, *SMALL]
TSP = ["data=tsp", "data.num_points=5", "attention=dot", "encoder=transformer", *GENERATED, *SMALL]
WINDOWS = ["data.lookback=12", "data.horizon=4", "data.season=4", "data.batch_size=32"]

COSTS = {"num_parameters", "train_seconds", "cpu_seconds", "peak_memory_bytes", "steps"}
TOUR = {"tour_length", "optimal_tour_length", "gap", "accuracy", "exact_match"}
ERRORS = {"mae", "mse", "mae/load", "mae_raw/load", "mae/temperature", "mae_raw/temperature"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs named table, reverse, again (the same), other (another seed) and tsp."""
    folder = tmp_path_factory.mktemp("runs")
    random = np.random.default_rng(0)
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(160) * np.timedelta64(1, "h")
    load = 100 + 10 * np.sin(np.arange(160) * np.pi / 2) + random.normal(size=160)
    temperature = 5 + random.normal(size=160)
    lines = [f"{when},{a:.3f},{b:.3f}" for when, a, b in zip(times, load, temperature, strict=True)]
    (folder / "measurements.csv").write_text("\n".join(["date,load,temperature", *lines]))
    table = ["data=table", f"data.path={folder}/measurements.csv", "data.time=date", *WINDOWS, *SMALL]
    for name, overrides in {
        "table": table,
        "reverse": REVERSE,
        "again": REVERSE,
        "other": [*REVERSE, "seed=2"],
        "tsp": TSP,
    }.items():
        assert run(["train", *overrides, f"hydra.run.dir={folder}/{name}"]) == 0
    return folder


def rows(path: Path) -> list[dict[str, Any]]:
    """metrics.jsonl without the clock."""
    return [{name: value for name, value in row.items() if name != "time"} for row in read_metrics(path)]


def summary(path: Path) -> dict[str, Any]:
    return json.loads((path / "summary.json").read_text())


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(runs: Path) -> None:
    assert len(rows(runs / "reverse")) >= 3
    assert rows(runs / "reverse") == rows(runs / "again")
    losses = [[row["train/loss"] for row in rows(runs / name) if "train/loss" in row] for name in ("reverse", "other")]
    assert losses[0] != losses[1]


def test_the_config_of_a_run_repeats_it(runs: Path, tmp_path: Path) -> None:
    for name in ("reverse", "table"):
        cfg = OmegaConf.load(runs / name / "config.yaml")
        choices = json.loads((runs / name / "meta.json").read_text())["choices"]
        again = train(cfg, path=tmp_path / name, overrides=[], choices=choices)
        assert rows(tmp_path / name) == rows(runs / name)
        clocks = ("train_seconds", "cpu_seconds", "peak_memory_bytes")
        assert {**again, **dict.fromkeys(clocks)} == {**summary(runs / name), **dict.fromkeys(clocks)}


@pytest.mark.parametrize("name", ["table", "reverse", "tsp"])
def test_a_record_holds_everything_there_is_to_say_about_a_run(runs: Path, name: str) -> None:
    path = runs / name
    picture = {"table": "forecast.png", "reverse": "attention.png", "tsp": "tours.png"}[name]
    for file in (
        *["config.yaml", "overrides.txt", "meta.json", "metrics.jsonl", "summary.json", "train.log"],
        *["checkpoints/best.ckpt", "checkpoints/last.ckpt", "attention/epoch_000.npz", "predictions/test.npz"],
        f"plots/{picture}",
    ):
        assert (path / file).stat().st_size > 0, file
    assert {file.name.split(".")[0] for file in (path / "checkpoints").iterdir()} == {"best", "last"}
    assert not [file for file in path.iterdir() if file.name.startswith(".")]
    overrides = (path / "overrides.txt").read_text().splitlines()
    assert f"data={name}" in overrides
    assert "dim=8" in overrides
    assert "parameters on cpu" in (path / "train.log").read_text()


def test_the_facts_of_a_run_are_in_its_meta(runs: Path) -> None:
    meta = json.loads((runs / "table" / "meta.json").read_text())
    assert meta["status"] == "finished"
    assert meta["run_id"] == "table"
    assert meta["error"] is None
    assert meta["choices"]["head"] == "direct"
    assert meta["choices"]["attention/normalizer"] == "softmax"
    assert meta["device"].startswith("cpu")
    assert meta["num_parameters"] == summary(runs / "table")["num_parameters"] > 100
    assert len(meta["data_sha256"]) == 64
    assert meta["versions"]["torch"] == torch.__version__
    assert json.loads((runs / "reverse" / "meta.json").read_text())["data_sha256"] is None
    assert (meta["key_metric"], meta["key_mode"]) == ("mae", "min")


@pytest.mark.parametrize(
    ("name", "metrics", "baselines", "chosen_by"),
    [
        ("table", ERRORS, ["last_value", "seasonal_naive", "linear"], "val/mae"),
        ("reverse", {"accuracy", "exact_match"}, ["copy_input", "most_frequent"], "val/exact_match"),
        ("tsp", TOUR, ["nearest_neighbour", "random_order"], "val/gap"),
    ],
)
def test_a_summary_has_flat_names(
    runs: Path, name: str, metrics: set[str], baselines: list[str], chosen_by: str
) -> None:
    found = summary(runs / name)
    assert set(found) == (
        {f"test/{metric}" for metric in metrics}
        | {f"baseline/{baseline}/{metric}" for baseline in baselines for metric in metrics}
        | COSTS
        | {chosen_by}
    )
    assert all(isinstance(value, (int, float)) and np.isfinite(value) for value in found.values())
    assert found["peak_memory_bytes"] > 10_000_000


def test_the_best_validation_is_the_one_that_was_logged(runs: Path) -> None:
    for name, metric in (("table", "val/mae"), ("reverse", "val/exact_match"), ("tsp", "val/gap")):
        logged = [row[metric] for row in rows(runs / name) if metric in row]
        assert summary(runs / name)[metric] == logged[0]


def test_a_baseline_is_judged_on_the_same_windows_by_the_same_metric(runs: Path) -> None:
    cfg = OmegaConf.to_container(OmegaConf.load(runs / "table" / "config.yaml").data)
    assert isinstance(cfg, dict)
    del cfg["_target_"]
    data = Forecasting(**cfg)
    metric = data.metric()
    assert isinstance(metric, ForecastErrors)
    source = data.source("test")
    batch = source[np.arange(len(source))]
    metric.update(batch.inputs[:, -1:, :2].expand(-1, 4, -1), batch)
    for name, value in metric.compute().items():
        assert summary(runs / "table")[f"baseline/last_value/{name}"] == pytest.approx(float(value), rel=1e-5)


def test_predictions_are_kept_with_what_they_answer(runs: Path) -> None:
    with np.load(runs / "tsp" / "predictions" / "test.npz") as kept:
        assert kept["predictions"].shape == kept["targets"].shape == (16, 5)
        assert kept["inputs"].shape == (16, 5, 2)
        np.testing.assert_array_equal(np.sort(kept["predictions"]), np.broadcast_to(np.arange(5), (16, 5)))
    with np.load(runs / "tsp" / "attention" / "epoch_000.npz") as maps:
        assert maps["head.attention"].shape == (4, 1, 5, 5)
        assert len(maps.files) == 3  # the head and two layers


def test_a_record_says_what_its_predictions_mean(runs: Path) -> None:
    tsp, table, reverse = (
        json.loads((runs / name / "predictions" / "test.json").read_text()) for name in ("tsp", "table", "reverse")
    )
    assert (tsp["input"], tsp["output"], tsp["key_metric"], tsp["key_mode"]) == (
        "points",
        "pointer sequence",
        "gap",
        "min",
    )
    with np.load(runs / "tsp" / "predictions" / "attention.npz") as looked:
        weights = looked["head.attention"]  # [examples, steps, cities]
    assert tsp["looked"] == list(range(16))
    with np.load(runs / "tsp" / "predictions" / "test.npz") as kept:
        np.testing.assert_array_equal(weights.argmax(-1), kept["predictions"])  # what it says is what it looks at
        said = [[str(city) for city in tour] for tour in kept["predictions"]]
    assert [example["said"] for example in tsp["examples"]] == said
    gaps = [example["scores"]["gap"] for example in tsp["examples"]]
    assert np.mean(gaps) == pytest.approx(summary(runs / "tsp")["test/gap"], rel=1e-5)  # all 16 examples were kept
    assert [variable["name"] for variable in table["variables"]] == ["load", "temperature"]
    assert table["examples"][0]["asked"][0] == "2020-01-06 08:00"  # row 128 of 160, the first of the test part
    assert table["examples"][0]["inputs"][-1] == "2020-01-06 07:00"
    assert [variable["scale"] > 0 for variable in table["variables"]] == [True, True]
    assert reverse["output"] == "token sequence"
    assert reverse["examples"][0]["asked"] == [*reverse["examples"][0]["inputs"][::-1], "■"]


def test_a_record_says_what_its_maps_are_maps_of(runs: Path) -> None:
    described = json.loads((runs / "reverse" / "attention" / "examples.json").read_text())
    assert described["split"] == "val"
    assert described["padded_length"] == 3
    assert [example["index"] for example in described["examples"]] == [0, 5, 10, 15]
    assert all(len(example["inputs"]) == 3 and example["question"] is None for example in described["examples"])
    epoch = json.loads((runs / "reverse" / "attention" / "epoch_000.json").read_text())
    assert len(epoch["said"]) == 4
    assert epoch["step"] == summary(runs / "reverse")["steps"]


def test_of_long_examples_few_maps_are_kept() -> None:
    batch = DataSpec(Tokens(5), StepLabels(3), max_length=400).example(batch_size=64)
    assert _spread_within_budget(batch) == [0, 13, 25, 38, 50, 63]


def test_a_file_is_named_from_the_root_whatever_was_typed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    words = ["data=table", "data.path=measurements.csv", "data.time=date", *WINDOWS, *SMALL, "trainer.max_steps=1"]
    assert run(["train", *words, f"hydra.run.dir={tmp_path}/first"]) == 0
    assert OmegaConf.load(tmp_path / "first" / "config.yaml").data.path == str(runs / "measurements.csv")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., tuple[int, Path]]:
    def start(*overrides: str) -> tuple[int, Path]:
        return run(["train", *REVERSE, *overrides, f"hydra.run.dir={tmp_path}/first"]), tmp_path / "first"

    return start


def test_a_training_shorter_than_an_epoch_has_a_best_checkpoint(trained: Callable[..., tuple[int, Path]]) -> None:
    status, path = trained("trainer.max_steps=3")
    assert status == 0
    assert summary(path)["steps"] == 3
    best = torch.load(path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["global_step"] == 3
    assert len([row for row in rows(path) if "val/exact_match" in row]) == 1


def test_a_training_that_ends_between_two_epochs_validates_its_last_step(
    trained: Callable[..., tuple[int, Path]],
) -> None:
    status, path = trained("trainer.max_epochs=5", "trainer.max_steps=6")
    assert status == 0
    assert [row["step"] for row in rows(path) if "val/exact_match" in row] == [3, 5]
    assert torch.load(path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == 6


def test_training_stops_when_validation_does_not_improve(trained: Callable[..., tuple[int, Path]]) -> None:
    # Nothing is learned with a rate of zero, so no validation beats the first.
    options = ["callbacks=early_stopping", "callbacks.early_stopping.patience=2", "optimizer.lr=0"]
    status, path = trained("trainer.max_epochs=20", *options)
    assert status == 0
    assert summary(path)["steps"] == 3 * 4


def test_the_last_checkpoint_is_the_last_and_the_best_is_tested(trained: Callable[..., tuple[int, Path]]) -> None:
    status, path = trained("trainer.max_epochs=3", "optimizer.lr=0", "callbacks=none")
    assert status == 0
    for name, step in (("best", 4), ("last", 12)):
        assert torch.load(path / "checkpoints" / f"{name}.ckpt", weights_only=True)["global_step"] == step
    assert not (path / "attention").exists()


def test_a_training_without_validation_is_refused(
    trained: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, path = trained("trainer.limit_val_batches=0")
    assert status == 2
    assert "training ended after 4 steps without a validation" in capsys.readouterr().err
    assert json.loads((path / "meta.json").read_text())["status"] == "failed"


def test_a_loss_that_is_no_number_is_refused_before_it_is_a_result(
    trained: Callable[..., tuple[int, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, _ = trained("optimizer.lr=1e30", "trainer.gradient_clip_val=null", "trainer.log_every_n_steps=50")
    assert status == 2
    assert capsys.readouterr().err == (
        "attnlab: the loss became nan at step 4; lower optimizer.lr, or set trainer.gradient_clip_val=1.0\n"
    )


def test_a_budget_of_parameters_chooses_the_width_that_comes_closest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def size(name: str, *overrides: str) -> int:
        small = [word for word in REVERSE if not word.startswith("dim=")]
        words = [*small, "encoder=gru", "attention=none", "trainer.max_steps=1", *overrides]
        assert run(["train", *words, f"hydra.run.dir={tmp_path}/{name}"]) == 0
        return int(summary(tmp_path / name)["num_parameters"])

    found = size("budget", "parameters=9000")
    config = OmegaConf.load(tmp_path / "budget" / "config.yaml")
    assert (config.parameters, config.encoder.hidden_dim) == (None, config.dim)
    assert size("same", f"dim={config.dim}") == found
    for other in (config.dim - 4, config.dim + 4):
        assert abs(size(f"dim{other}", f"dim={other}") - 9000) > abs(found - 9000)
    capsys.readouterr()
    assert run(["train", *REVERSE, "parameters=100", f"hydra.run.dir={tmp_path}/none"]) == 2
    assert "parameters=100 cannot be met: with dim=4 there are" in capsys.readouterr().err
