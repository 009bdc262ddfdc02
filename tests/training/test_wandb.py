from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb as library

from attnlab.cli import run
from attnlab.runs.record import RunRecord
from attnlab.training import wandb

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


def read(file: Path) -> list[dict[str, Any]]:
    """The records of an offline run."""
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
    assert f"W&B      offline; to upload it later: wandb sync runs/wandb/{file.parent.name}" in told

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
    assert logged["plots/attention._type"] == "images/separated"
    (picture,) = file.parent.glob("files/media/images/plots/*.png")
    assert picture.read_bytes() == (tmp_path / "runs/first/plots/attention.png").read_bytes()
    summary = json.loads((tmp_path / "runs/first/summary.json").read_text())
    shown = merged(records, "summary", "update")
    assert {name: shown[name] for name in summary} == summary
    (ended,) = (record["exit"] for record in records if "exit" in record)
    assert ended.get("exit_code", 0) == 0


def test_each_job_of_a_sweep_is_a_run_of_its_own(tmp_path: Path) -> None:
    assert run(["train", "-m", *SMALL, "seed=1,2", "trainer.max_steps=1"]) == 0
    files = offline_runs(tmp_path / "runs")
    names = [record["run"]["display_name"] for file in files for record in read(file) if "run" in record]
    assert sorted(names) == sorted(path.parent.name for path in (tmp_path / "runs").glob("*/meta.json"))
    assert len(set(names)) == 2


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
    logger = wandb.wandb_logger(record, project="p", group=None, tags=["t"], save_dir=str(tmp_path / "out"))
    offline = logger.experiment.settings._offline
    wandb.finish(logger, record, exit_code=0)
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
