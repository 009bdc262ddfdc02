"""Trained runs, made once per process. A test that changes one copies it first, under the same name."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from attnlab.cli import run

GENERATED = ["data.num_train=64", "data.num_val=16", "data.num_test=16", "data.batch_size=16"]
SMALL = ["trainer=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=2", "dim=8"]
REVERSE = ["data=reverse", "data.length=3", *GENERATED, *SMALL]
TSP = ["data=tsp", "data.num_points=5", *GENERATED, *SMALL]
WINDOWS = ["data.lookback=12", "data.horizon=4", "data.season=4", "data.batch_size=32"]


def write_measurements(path: Path, *, rows: int = 160, step: int = 3600, start: str = "2020-01-01T00:00:00") -> Path:
    """A CSV of two numbers and a word, a row every `step` seconds."""
    random = np.random.default_rng(rows)
    times = np.datetime64(start) + np.arange(rows) * np.timedelta64(step, "s")
    load = 100 + 10 * np.sin(np.arange(rows) * np.pi / 2) + random.normal(size=rows)
    temperature = 5 + random.normal(size=rows)
    wind = random.choice(["N", "E", "S"], rows)
    lines = [f"{when},{a:.3f},{b:.3f},{c}" for when, a, b, c in zip(times, load, temperature, wind, strict=True)]
    path.write_text("\n".join(["date,load,temperature,wind", *lines]) + "\n")
    return path


@pytest.fixture(scope="session")
def measurements() -> Callable[..., Path]:
    return write_measurements


@pytest.fixture(scope="session")
def reverse() -> list[str]:
    """Overrides of the smallest training there is."""
    return REVERSE


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three finished runs: table, reverse and tsp; and measurements.csv, which the first was trained on."""
    folder = tmp_path_factory.mktemp("trained")
    csv = write_measurements(folder / "measurements.csv")
    table = ["data=table", f"data.path={csv}", "data.time=date", "data.categorical=[wind]", *WINDOWS, *SMALL]
    for name, overrides in {"table": table, "reverse": REVERSE, "tsp": TSP}.items():
        assert run(["train", *overrides, f"hydra.run.dir={folder}/runs/{name}"]) == 0
    return folder


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run's copy that may be damaged, in a folder of its own."""

    def copy(name: str) -> Path:
        return shutil.copytree(trained / "runs" / name, tmp_path / "copies" / name)

    return copy
