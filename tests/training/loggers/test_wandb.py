from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb as library

from attnlab.cli import run
from attnlab.runs.record import RunRecord
from attnlab.training.loggers import wandb
from attnlab.training.task import Task

SMALL = [
    *["data=reverse", "data.length=3", "data.num_train=32", "data.num_val=8", "data.num_test=8", "data.batch_size=8"],
    *["dim=8", "trainer=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=2", "logger=wandb"],
]


@pytest.fixture(autouse=True)
def _no_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No key, no settings, no home that might hold some; and nothing left behind."""
    for name in list(os.environ):
        if name.startswith("WANDB"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.chdir(tmp_path)
    yield
    library.finish()
    library.teardown()
    for name in list(os.environ):
        if name.startswith("WANDB"):
            monkeypatch.delenv(name)


@pytest.fixture
def silent_server() -> Iterator[str]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def nobody() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=[200, 404, 500])
def answering_server(request: pytest.FixtureRequest) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(request.param)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/*.wandb"))


@cache
def read(file: Path) -> list[dict[str, Any]]:
    """The records of an offline run that has ended."""
    done = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def merged(records: list[dict[str, Any]], kind: str, field: str) -> dict[str, Any]:
    """The values under their names, the last one of each."""
    found: dict[str, Any] = {}
    for record in records:
        found |= record.get(kind, {}).get(field, {})
    return found


def test_an_offline_run_holds_config_metrics_summary_and_pictures(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*args: object) -> str:
        raise AssertionError("somebody was asked something")

    monkeypatch.setattr("builtins.input", asked)
    assert run(["train", *SMALL, "run_dir=runs", "hydra.run.dir=runs/first"]) == 0
    (file,) = offline_runs(tmp_path / "runs")
    told = capfd.readouterr().out
    assert told.endswith("W&B      offline; to upload it later: attnlab sync\n")

    records = read(file)
    (begun,) = (record["run"] for record in records if "run" in record)
    assert begun["display_name"] == "first"
    assert begun["project"] == "attnlab"
    assert begun["run_group"] == "reverse_lstm_additive"
    config = merged(records, "config", "update")
    assert config["dim"] == 8
    assert config["data"]["length"] == 3
    logged = merged(records, "history", "item")
    rows = [json.loads(line) for line in (tmp_path / "runs/first/metrics.jsonl").read_text().splitlines()]
    for name in ("train/loss", "val/loss", "val/exact_match", "test/accuracy"):
        assert logged[name] == [row[name] for row in rows if name in row][-1]
    assert logged["plots/attention._type"] == logged["attention/head.attention._type"] == "image-file"
    picture = file.parent / "files" / logged["plots/attention.path"]
    assert picture.read_bytes() == (tmp_path / "runs/first/plots/attention.png").read_bytes()
    assert (file.parent / "files" / logged["attention/head.attention.path"]).read_bytes().startswith(b"\x89PNG")
    summary = json.loads((tmp_path / "runs/first/summary.json").read_text())
    shown = merged(records, "summary", "update")
    assert {name: shown[name] for name in summary} == summary
    (ended,) = (record["exit"] for record in records if "exit" in record)
    assert ended.get("exit_code", 0) == 0


@pytest.fixture(scope="module")
def forecasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a table of measurements, with a transformer's sites beside the head's."""
    folder = tmp_path_factory.mktemp("forecasts")
    rows = [f"2024-01-01 {hour:02d}:00,{hour % 5},{hour % 7}" for hour in range(24)]
    rows += [f"2024-01-{2 + hour // 24:02d} {hour % 24:02d}:00,{hour % 5},{hour % 7}" for hour in range(96)]
    (folder / "table.csv").write_text("\n".join(["date,a,b", *rows]) + "\n")
    words = [
        *[
            "data=table",
            f"data.path={folder}/table.csv",
            "data.time=date",
            "data.lookback=6",
            "data.horizon=2",
            "data.season=3",
        ],
        *["encoder=transformer", "encoder.num_layers=1", "attention.num_heads=2", "dim=8", "data.batch_size=16"],
        *["trainer=cpu", "trainer.max_epochs=1", "trainer.log_every_n_steps=1", "logger=wandb"],
        *["logger.wandb.gradients=true", "logger.wandb.tags=[quick]", "logger.wandb.notes=a look", "seed=3"],
    ]
    return train_offline(folder, words)


@pytest.fixture(scope="module")
def tours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on tours of five to seven cities."""
    words = [
        *["data=tsp", "data.num_points=5-7", "data.num_train=16", "data.num_val=8", "data.num_test=8"],
        *["data.batch_size=8", "dim=8", "trainer=cpu", "trainer.max_epochs=1", "callbacks=none", "logger=wandb"],
    ]
    return train_offline(tmp_path_factory.mktemp("tours"), words)


def train_offline(folder: Path, words: list[str]) -> Path:
    """Trains in the place of somebody who has no account; the parent of the run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            patch.delenv(name)
        assert run(["train", *words, f"run_dir={folder}/runs", f"hydra.run.dir={folder}/runs/first"]) == 0
    return folder / "runs"


def table(file: Path, records: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """The rows of a wandb.Table, by their columns."""
    content = json.loads((file.parent / "files" / merged(records, "history", "item")[f"{name}.path"]).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def test_tables_hold_a_row_for_each_example_site_and_step(forecasts: Path) -> None:
    (file,) = offline_runs(forecasts)
    records = read(file)
    looked = table(file, records, "tables/attention")
    with np.load(forecasts / "first" / "attention" / "epoch_000.npz") as maps:
        assert len(looked) == sum(weights.shape[0] * weights.shape[1] for weights in maps.values())
        assert {row["site"] for row in looked} == set(maps.files)
        first = next(row for row in looked if row["site"] == "head.attention" and row["head"] == 1)
        weights = maps["head.attention"][0, 1].astype(float)
        assert first["peak"] == pytest.approx(weights.max(-1).mean(), abs=1e-4)
        assert first["entropy"] == pytest.approx(-(weights * np.log2(weights)).sum(-1).mean(), abs=1e-2)
    assert first["map"] == "Image"  # whose file travels in the table's artifact
    (kept,) = (record["artifact"] for record in records if "tables/attention.table.json" in str(record.get("artifact")))
    pictures = [entry for entry in kept["manifest"]["contents"] if entry["path"].startswith("media/images/")]
    assert len({entry["path"] for entry in pictures}) == len(pictures) > 0
    assert all(Path(entry["local_path"]).read_bytes().startswith(b"\x89PNG") for entry in pictures)
    described = json.loads((forecasts / "first" / "predictions" / "test.json").read_text())
    answered = table(file, records, "tables/predictions")
    assert [row["example"] for row in answered] == [example["index"] for example in described["examples"]]
    assert [row["mae"] for row in answered] == [example["scores"]["mae"] for example in described["examples"]]
    steps = table(file, records, "tables/forecasts")
    assert len(steps) == len(answered) * 2 * 2
    assert all(
        row["measured"] == pytest.approx(round(row["measured"]), abs=1e-3) for row in steps
    )  # as the file has them
    for row in steps:
        assert row["error"] == pytest.approx(abs(row["forecast"] - row["measured"]))


def test_a_table_of_tours_has_each_answer_beside_the_shortest(tours: Path) -> None:
    (file,) = offline_runs(tours)
    rows = table(file, read(file), "tables/tours")
    with np.load(tours / "first" / "predictions" / "test.npz") as kept:
        instances = kept["inputs"].astype(float)

    def length(tour: str, cities: np.ndarray) -> float:
        visited = cities[[int(city) for city in tour.split()]]
        return float(np.linalg.norm(visited - np.roll(visited, 1, axis=0), axis=1).sum())

    assert [row["example"] for row in rows] == list(range(8))
    for row, cities in zip(rows, instances, strict=True):
        assert set(row["said"].split()) == set(row["asked"].split()) == set(row["reads"].split())
        assert row["tour_length"] == pytest.approx(length(row["said"], cities), rel=1e-3)
        assert row["gap"] == pytest.approx(row["tour_length"] / length(row["asked"], cities) - 1, abs=2e-3)
    assert {len(row["reads"].split()) for row in rows} <= {5, 6, 7}
    assert any(row["gap"] > 0 for row in rows)


def test_artifacts_lead_from_the_data_to_the_model_and_its_predictions(forecasts: Path) -> None:
    (file,) = offline_runs(forecasts)
    artifacts = {record["artifact"]["type"]: record["artifact"] for record in read(file) if "artifact" in record}
    meta = json.loads((forecasts / "first" / "meta.json").read_text())
    dataset, model, predictions = (artifacts[kind] for kind in ("dataset", "model", "predictions"))
    assert dataset["use_after_commit"]  # an input of the run, the others are its outputs
    assert dataset["name"] == "data-table"
    assert json.loads(dataset["metadata"])["sha256"] == meta["data_sha256"]
    assert not model.get("use_after_commit")
    assert sorted(model["aliases"]) == ["best", "latest"]
    assert json.loads(model["metadata"])["encoder"] == "transformer"
    kept = {entry["path"]: Path(entry["local_path"]) for entry in model["manifest"]["contents"]}
    assert set(kept) == {"best.ckpt", "config.yaml"}
    assert kept["best.ckpt"] == forecasts / "first" / "checkpoints" / "best.ckpt"
    assert {entry["path"] for entry in predictions["manifest"]["contents"]} >= {"test.npz", "test.json"}


def test_gradients_are_logged_where_they_were_asked_for(forecasts: Path) -> None:
    (file,) = offline_runs(forecasts)
    records = read(file)
    logged = merged(records, "history", "item")
    assert any(name.startswith("gradients/") for name in logged)
    (begun,) = (record["run"] for record in records if "run" in record)
    assert (begun["tags"], begun["notes"], begun["job_type"]) == (["quick"], "a look", "train")


def test_each_job_of_a_sweep_is_a_run_of_its_own_in_one_group(tmp_path: Path) -> None:
    assert run(["train", "-m", *SMALL, "seed=1,2", "trainer.max_steps=1"]) == 0
    files = offline_runs(tmp_path / "runs")
    begun = [record["run"] for file in files for record in read(file) if "run" in record]
    names = [run["display_name"] for run in begun]
    assert sorted(names) == sorted(path.parent.name for path in (tmp_path / "runs").glob("*/meta.json"))
    assert len(set(names)) == 2
    (group,) = {run["run_group"] for run in begun}
    assert group.startswith("sweep_")
    assert {run["job_type"] for run in begun} == {"reverse_lstm_additive"}
    assert "WANDB_RUN_GROUP" not in os.environ


def test_a_resumed_run_continues_its_run_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Task) -> None:
        raise RuntimeError("power failure")

    words = [*SMALL, "trainer.max_epochs=2", "callbacks=none", "hydra.run.dir=runs/first"]
    with monkeypatch.context() as patch:
        patch.setattr(Task, "on_train_epoch_end", fail, raising=False)
        assert run(["train", *words]) == 1
    assert run(["resume", "runs/first"]) == 0
    files = offline_runs(tmp_path / "runs")
    begun = [record["run"] for file in files for record in read(file) if "run" in record]
    assert len(files) == len(begun) == 2
    assert len({run["run_id"] for run in begun}) == 1
    steps = [
        record["history"]["item"]["trainer/global_step"]
        for file in files
        for record in read(file)
        if "val/loss" in record.get("history", {}).get("item", {})
    ]
    assert steps == [3, 7]


def test_a_run_that_fails_says_so_there_too(tmp_path: Path) -> None:
    assert run(["train", *SMALL, "trainer.max_epochs=-1", "logger.wandb.save_dir=elsewhere"]) == 2
    (file,) = offline_runs(tmp_path / "elsewhere")
    (ended,) = (record["exit"] for record in read(file) if "exit" in record)
    assert ended["exit_code"] == 1


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    choices = {"data": "tsp", "encoder": "gru", "attention": "dot"}
    return RunRecord.create(tmp_path / "runs" / "first", config_yaml="", overrides=[], choices=choices, seed=1)


def begin(record: RunRecord, tmp_path: Path) -> bool:
    """Whether the W&B run is offline."""
    options: Any = dict.fromkeys(["entity", "group", "job_type", "notes"])
    logger = wandb.WandbRun(record, project="p", tags=["t"], gradients=False, save_dir=str(tmp_path / "out"), **options)
    offline = logger.experiment.settings._offline
    logger.close(exit_code=0)
    return offline


def test_a_server_that_never_answers_means_offline(
    silent_server: str,
    record: RunRecord,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setattr(wandb, "PATIENCE", 0.2)
    assert begin(record, tmp_path)
    assert f"W&B      {silent_server} does not answer; this run is logged offline" in capsys.readouterr().out
    assert len(offline_runs(tmp_path / "out")) == 1


def test_a_server_that_refuses_means_offline_without_waiting(
    nobody: str, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", nobody)
    monkeypatch.setattr(wandb, "PATIENCE", 3600.0)  # would never pass
    assert begin(record, tmp_path)
    assert f"{nobody} does not answer" in capsys.readouterr().out


def test_what_the_person_set_decides(
    answering_server: str, record: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering_server)
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert begin(record, tmp_path)


def test_any_answer_is_an_answer(answering_server: str) -> None:
    assert wandb.answers(answering_server, patience=30.0)


def test_silence_is_none(silent_server: str, nobody: str) -> None:
    assert not wandb.answers(silent_server, patience=0.2)
    assert not wandb.answers(nobody, patience=3600.0)
    assert not wandb.answers("no address at all", patience=3600.0)


def test_an_account_and_a_server_that_answers_mean_online(
    answering_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wandb._mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", answering_server)
    assert wandb._mode() == "online"
