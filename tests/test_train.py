"""From the command line to the result, as a person would type it: each command is a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
SMALL = [
    *["data=tsp", "data.num_points=5", "data.num_train=64", "data.num_val=16", "data.num_test=16"],
    *["data.batch_size=16", "dim=8", "trainer=cpu", "trainer.max_epochs=1"],
]


def attnlab(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("attnlab")
    return subprocess.run(
        [program, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somewhere else than the checkout, where a run was trained."""
    folder = tmp_path_factory.mktemp("home")
    done = attnlab("train", *SMALL, "hydra.run.dir=runs/first", folder=folder)
    (folder / "screen.txt").write_text(done.stdout)
    (folder / "errors.txt").write_text(done.stderr)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_training_shows_the_result_and_what_to_type_next(home: Path) -> None:
    screen = (home / "screen.txt").read_text()
    assert screen.startswith("run      runs/first\nmodel ")
    assert "step 4/4 · train/loss" in screen
    assert "nearest neighbour" in screen
    assert "evaluate runs/first\n" in screen
    assert (home / "errors.txt").read_text() == ""
    assert {entry.name for entry in home.iterdir()} == {"runs", "screen.txt", "errors.txt"}


def test_another_process_finds_the_same_metrics_to_the_last_digit(home: Path) -> None:
    done = attnlab("evaluate", "runs/first", "--json", folder=home)
    assert (done.returncode, done.stderr) == (0, "")
    summary = json.loads((home / "runs/first/summary.json").read_text())
    recorded = {key: value for key, value in summary.items() if key.startswith("test/")}
    assert json.loads(done.stdout)["metrics"] == recorded


def test_a_refusal_is_one_sentence_on_standard_error(tmp_path: Path) -> None:
    done = attnlab("train", *SMALL, "dim=abc", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "attnlab: dim=abc must be a whole number\n"
    assert done.stdout == ""
    assert list(tmp_path.glob("runs/*")) == []


@pytest.mark.slow
def test_the_wheel_brings_its_configuration_along(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "-q", "-w", tmp_path / "dist", REPOSITORY], check=True)
    (wheel,) = (tmp_path / "dist").glob("attnlab-*.whl")
    target = tmp_path / "site"
    subprocess.run([*pip, "install", "--no-deps", "-q", "--target", target, wheel], check=True)
    environment = {"PYTHONPATH": str(target)}
    code = "import sys, attnlab; from attnlab.cli import main; print(attnlab.__file__); main(sys.argv[1:])"

    def installed(*words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", code, *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **environment},
        )
        place, *lines = done.stdout.splitlines()
        assert Path(place) == target / "attnlab" / "__init__.py"
        return lines

    assert installed("options", "optimizer")[0] == "optimizer="
    assert "  _target_: attnlab.data.TSP" in installed("train", "data=tsp", "--cfg", "job")
    assert "run      runs/first" in installed("train", *SMALL, "hydra.run.dir=runs/first")
    assert json.loads((tmp_path / "runs/first/meta.json").read_text())["git"] is None
