from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import attnlab
from attnlab.batch import Batch
from attnlab.cli import run
from attnlab.errors import UserError
from attnlab.training.predictor import Predictor

STEP = np.timedelta64(1800, "s")


def write(path: Path, times: np.ndarray, load: np.ndarray, wind: list[str]) -> Path:
    lines = [f"{when},{value},{name}" for when, value, name in zip(times, load, wind, strict=True)]
    path.write_text("\n".join(["date,load,wind", *lines]))
    return path


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run trained on half-hours, whose training file is gone."""
    folder = tmp_path_factory.mktemp("predictor")
    random = np.random.default_rng(0)
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(150) * STEP
    load = np.round(1000 + 50 * random.normal(size=150), 2)
    write(folder / "train.csv", times, load, list(random.choice(["N", "S"], 150)))
    sizes = [
        "data.lookback=6",
        "data.horizon=3",
        "data.season=2",
        "data.batch_size=32",
        "dim=8",
        "trainer.max_epochs=1",
    ]
    table = ["data=table", f"data.path={folder}/train.csv", "data.time=date", "data.categorical=[wind]"]
    assert run(["train", *table, *sizes, "trainer=cpu", "trainer.max_epochs=1", f"hydra.run.dir={folder}/first"]) == 0
    (folder / "train.csv").unlink()
    return folder / "first"


@pytest.fixture(scope="module")
def predictor(run_folder: Path) -> Predictor:
    return attnlab.load(run_folder)


LOAD = np.array([900.0, 950.0, 1000.0, 1050.0, 1100.0, 1150.0])
TIMES = np.datetime64("2021-03-28T22:30:00") + np.arange(6) * STEP


def test_a_forecast_is_that_of_the_model_on_the_window_in_its_own_unit(predictor: Predictor, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", TIMES, LOAD, ["N", "S", "N", "N", "S", "S"])
    (mean,), (scale,) = predictor.schema.mean, predictor.schema.scale
    seconds = TIMES.astype("datetime64[s]").astype(np.int64)
    day = 2 * np.pi * ((seconds / 86_400) % 1)
    week = 2 * np.pi * (((seconds + 3 * 86_400) / (7 * 86_400)) % 1)  # 1970 began on a Thursday
    year = 2 * np.pi * ((seconds / (365.2425 * 86_400)) % 1)
    north = np.array([1, 0, 1, 1, 0, 0])
    cycles = [function(angle) for angle in (day, week, year) for function in (np.sin, np.cos)]
    window = torch.from_numpy(np.stack([(LOAD - mean) / scale, north, 1 - north, *cycles], axis=1)).float()[None]
    nothing = torch.zeros(1, 3, 1)
    batch = Batch(window, torch.ones(1, 6, dtype=torch.bool), nothing, nothing.bool())
    expected = predictor.model.answer(batch)[0, :, 0].detach().double().numpy() * scale + mean

    forecast = predictor.predict(file)
    assert forecast.column_names == ["time", "load"]
    np.testing.assert_allclose(forecast["load"].to_numpy(), expected, rtol=1e-5)
    assert [str(time) for time in forecast["time"].to_pylist()] == [
        "2021-03-29 01:30:00",
        "2021-03-29 02:00:00",
        "2021-03-29 02:30:00",
    ]


def test_a_missing_value_counts_as_the_last_one_before_it(predictor: Predictor, tmp_path: Path) -> None:
    wind = ["N"] * 6
    held = write(tmp_path / "held.csv", TIMES, np.array([900, 950, 950, 1050, 1100, 1150]), wind)
    text = held.read_text().splitlines()
    text[3] = f"{TIMES[2]},,N"
    (tmp_path / "missing.csv").write_text("\n".join(text))
    assert predictor.predict(tmp_path / "missing.csv") == predictor.predict(held)


def test_a_model_that_predicts_drops_nothing_out(predictor: Predictor, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", TIMES, LOAD, ["N"] * 6)
    assert not predictor.model.training
    assert predictor.predict(file) == predictor.predict(file)


def test_an_unknown_category_is_told_and_only_where_the_model_looks(predictor: Predictor, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", TIMES, LOAD, ["N", "S", "W", "", "W", "E"])
    with pytest.warns(UserWarning, match="column wind holds E, W, which the training part never did"):
        predictor.predict(file)
    earlier = TIMES[0] - STEP
    lines = file.read_text().replace("W", "N").replace("E", "S").splitlines()
    (tmp_path / "longer.csv").write_text("\n".join([lines[0], f"{earlier},1000,W", *lines[1:]]))
    predictor.predict(tmp_path / "longer.csv")  # a warning from our own package would be an error here


def test_a_file_shorter_than_the_look_back_is_refused(predictor: Predictor, tmp_path: Path) -> None:
    file = write(tmp_path / "new.csv", TIMES[:5], LOAD[:5], ["N"] * 5)
    with pytest.raises(UserError, match=r"has 5 rows, but the model looks back on 6; give more rows"):
        predictor.predict(file)


def test_the_sizes_of_the_window_are_known(predictor: Predictor) -> None:
    assert (predictor.lookback, predictor.horizon) == (6, 3)
    assert predictor.schema.targets == ["load"]
    assert predictor.schema.categories == {"wind": ["N", "S"]}


def test_a_folder_that_is_no_run_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a run record"):
        attnlab.load(tmp_path)
