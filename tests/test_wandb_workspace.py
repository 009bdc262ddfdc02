"""The workspace is built as W&B would get it; only saving it needs a server."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import attnlab
from attnlab.training.loggers import wandb_media as media

PARTS = ("train", "val", "test")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "wandb_workspace.py"
    spec = importlib.util.spec_from_file_location("wandb_workspace", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_workspace_ranks_the_runs_on_the_data_by_their_metric(script: ModuleType) -> None:
    workspace = script.build("team", "attnlab", "reverse")
    assert [section.name for section in workspace.sections] == ["Results", "Curves", "Pictures", "Tables"]
    assert workspace.runset_settings.order[0].ascending is False  # the most right first
    sent = workspace._to_model().model_dump(by_alias=True)
    (runs,) = sent["spec"]["section"]["runSets"]
    (only,) = runs["filters"]["filters"]
    assert (only["key"]["name"], only["op"], only["value"]) == ("data._target_", "=", "attnlab.data.Reverse")
    assert [group["name"] for group in runs["grouping"]] == [
        "encoder.value._target_",
        "attention.value.scorer._target_",
    ]
    text = json.dumps(sent, default=str)
    for name in (
        "test/exact_match",
        "val/exact_match",
        "train/loss",
        "trainer/global_step",
        "attention/head.attention",
    ):
        assert name in text
    assert script.build("team", "attnlab", "beijing").runset_settings.order[0].ascending is True  # an error


@pytest.mark.parametrize(
    ("words", "pictures", "tables"),
    [
        (["data=reverse"], set(), {"predictions"}),
        (["data=tsp", "data.num_points=5"], {"plots/tours"}, {"tours"}),
        (["data=convex_hull", "data.num_points=5"], {"plots/hulls"}, {"hulls"}),
        (["data=table", "data.path=my.csv", "data.time=date"], {"plots/forecast"}, {"predictions", "forecasts"}),
    ],
    ids=["reverse", "tsp", "convex_hull", "table"],
)
def test_its_pictures_and_tables_are_those_that_a_run_logs(
    script: ModuleType,
    words: list[str],
    pictures: set[str],
    tables: set[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    hours = (f"{np.datetime64('2024-01-01T00') + hour},{hour % 24 + hour % 7}" for hour in range(400))
    Path("my.csv").write_text("\n".join(["date,load", *hours]) + "\n")
    sizes = ["data.lookback=24"] if words[0] == "data=table" else [f"data.num_{part}=8" for part in PARTS]
    run = attnlab.train(*words, *sizes, "dim=8", "trainer.max_steps=1")
    logged = set(media.figures(run.path) | media.heat_maps(run.path) | media.tables(run.path))
    shown = {
        section.name: section.panels for section in script.build("t", "p", words[0].removeprefix("data=")).sections
    }
    drawn = {key for panel in shown["Pictures"] for key in panel.media_keys}
    assert drawn == {"attention/head.attention", "plots/attention"} | pictures
    listed = {panel.table_name for panel in shown["Tables"]}
    assert listed == {f"tables/{name}" for name in tables | {"attention"}}
    assert drawn | listed <= logged


def test_it_can_be_looked_at_without_an_account(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("socket.socket.connect", lambda *args: pytest.fail("somebody was asked"))
    assert script.main(["team", "own", "--data", "tsp", "--print"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("Workspace(entity='team', project='own', name='attnlab: tsp'")
    assert "test/gap" in said


def test_unknown_data_are_refused(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["team", "--data", "revers"]) == 2
    assert capsys.readouterr().err == "attnlab: --data revers is not an option; did you mean reverse?\n"
