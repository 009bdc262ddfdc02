"""The workspace is built as W&B would get it; only saving it needs a server."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[1] / "scripts" / "wandb_workspace.py"
    spec = importlib.util.spec_from_file_location("wandb_workspace", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_workspace_shows_the_metric_of_the_data(script: ModuleType) -> None:
    workspace = script.build("team", "attnlab", "reverse")
    assert [section.name for section in workspace.sections] == ["Results", "Curves", "What was looked at"]
    assert workspace.runset_settings.order[0].ascending is False  # the most right first
    sent = json.loads(workspace._to_model().model_dump_json(by_alias=True))
    text = json.dumps(sent)
    for name in (
        "test/exact_match",
        "val/exact_match",
        "train/loss",
        "trainer/global_step",
        "attention/head.attention",
    ):
        assert name in text
    assert script.key_metric("beijing") == ("mae", "min")


def test_unknown_data_are_refused(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["team", "--data", "revers"]) == 2
    assert capsys.readouterr().err == "attnlab: --data revers is not an option; did you mean reverse?\n"
