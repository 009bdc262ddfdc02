from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tests.commands.sweep_server import SweepServer

from attnlab.cli import run
from attnlab.runs.store import RunStore, read_config
from attnlab.training.loggers import wandb as logger

FIXED = ["data=reverse", "data.length=3", "dim=8", "run_dir=elsewhere"]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> SweepServer:
    return SweepServer(monkeypatch)


def test_several_values_become_the_parameters_of_a_sweep(server: SweepServer) -> None:
    varied = [
        *["encoder=lstm,gru", "encoder.num_layers=1,2", "encoder.bidirectional=true,false"],
        *["optimizer.lr=tag(log,interval(1e-4,1e-2))", "head.dropout=interval(0,0.5)", "seed=range(1,4)"],
    ]
    assert run(["train", *FIXED, "sweep=wandb", "sweep.count=7", "sweep.entity=team", *varied]) == 0
    ((made),) = server.sweeps
    assert made["place"] == {"project": "attnlab", "entity": "team"}
    assert made["definition"] == {
        "method": "bayes",
        "metric": {"name": "val/exact_match", "goal": "maximize"},
        "parameters": {
            "encoder": {"values": ["lstm", "gru"]},
            "encoder.num_layers": {"values": [1, 2]},
            "encoder.bidirectional": {"values": [True, False]},
            "optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-4, "max": 1e-2},
            "head.dropout": {"distribution": "uniform", "min": 0.0, "max": 0.5},
            "seed": {"values": [1, 2, 3]},
        },
        "command": ["${env}", "attnlab", "train", *FIXED, "logger=wandb", "${args_no_hyphens}"],
    }
    assert server.agents == [("abc123", {"count": 7, "project": "attnlab", "entity": "team"})]


def test_what_is_proposed_is_trained(
    server: SweepServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["data.length=3", "data.num_train=16", "data.num_val=8", "data.num_test=8", "trainer.max_steps=1"]
    server.proposed = {"encoder": "gru", "encoder.bidirectional": True, "optimizer.lr": 0.00012345, "dim": 8}
    varied = ["encoder=lstm,gru", "encoder.bidirectional=true,false", "optimizer.lr=interval(1e-4,1e-2)", "dim=8,16"]
    assert run(["train", "sweep=wandb", "data=reverse", *small, *varied]) == 0, capfd.readouterr().err
    (trained,) = RunStore(tmp_path / "runs").list()
    assert trained.status == "finished"
    assert trained.meta["choices"]["encoder"] == "gru"
    assert trained.meta["wandb_id"] == "trial1"  # the run that the server waits for
    config = OmegaConf.create(read_config(trained.path))
    for option in ("encoder.bidirectional", "optimizer.lr", "dim"):
        assert OmegaConf.select(config, option) == server.proposed[option]
    (kept,) = (tmp_path / "runs" / "wandb").glob("offline-run-*/*.wandb")
    assert kept.name == "run-trial1.wandb"


def test_a_sweep_that_is_there_is_joined(server: SweepServer) -> None:
    assert run(["train", "sweep=wandb", "sweep.id=xyz", "sweep.project=p"]) == 0
    assert server.sweeps == []
    assert server.agents == [("xyz", {"count": 20, "project": "p", "entity": None})]


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        ([], "sweep=wandb has nothing to vary; give an option several values, such as encoder=lstm,gru"),
        (["data=reverse,sort"], "so data cannot vary"),
        (["-m", "seed=1,2"], "sweep=wandb is a sweep of its own and takes no -m; leave it out"),
        (["sweep.id=xyz", "seed=1,2"], "so seed would have no effect"),
        (["sweep.method=grid", "dim=interval(8,16)"], "cannot try every number of an interval"),
        (["seed=1,2", "sweep.cuont=3"], "sweep.cuont is not an option: sweep has no cuont; did you mean count?"),
        (["encoder=lstm,gru", "attention=dott"], "attention=dott is not an option; did you mean dot"),
    ],
)
def test_what_cannot_be_swept_is_refused_before_anybody_is_asked(
    server: SweepServer, words: list[str], refusal: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "sweep=wandb", *words]) == 2
    assert refusal in capsys.readouterr().err
    assert (server.sweeps, server.agents) == ([], [])


def test_without_a_server_the_way_to_sweep_is_another(
    server: SweepServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    advice = "set WANDB_API_KEY (and WANDB_BASE_URL for a server of your own), or sweep without one: attnlab train -m\n"
    monkeypatch.setattr(logger, "answers", lambda server, patience: False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://nobody")
    words = ["train", *FIXED, "sweep=wandb", "seed=1,2"]
    assert run(words) == 2
    assert capsys.readouterr().err == (
        f"attnlab: sweep=wandb asks a W&B server for each next run, and http://nobody does not answer; {advice}"
    )
    monkeypatch.delenv("WANDB_API_KEY")
    assert run(words) == 2
    assert capsys.readouterr().err.endswith(f"and WANDB_API_KEY is not set; {advice}")
    assert server.sweeps == []


def test_the_configuration_of_a_sweep_can_be_printed(server: SweepServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "sweep=wandb", "--cfg", "job"]) == 0
    assert "method: bayes" in capsys.readouterr().out
    assert server.agents == []
