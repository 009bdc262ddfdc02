"""A reader's desk, and what stands in there for a browser, for servers, and for what takes long."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import uvicorn
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from attnlab import matrix
from attnlab.cli import run
from attnlab.commands import dashboard
from attnlab.config import conf_dir, register_resolvers
from attnlab.data.csv_file import ASSETS
from attnlab.studies import study as studies
from attnlab.training.task import Task

EXAMPLE_PACKAGE = Path(__file__).parents[2] / "examples" / "third_party"
#: Added to every training, where the configuration has such an option.
SMALLER = {
    "dim": 8,
    "trainer.max_steps": 2,
    "trainer.limit_val_batches": 1,
    "trainer.limit_test_batches": 2,
    "data.num_train": 32,
    "data.num_val": 8,
    "data.num_test": 8,
    "data.batch_size": 8,
    "data.lookback": 24,
}
#: Files on the desk.
STORIES = "en-10k"
HOURS = "beijing.csv"


def smaller(words: list[str]) -> list[str]:
    """The same training in a second: few examples, few steps, small files; of a sweep two seeds and two rivals."""
    widths = {"seed": 1 if any(word.startswith("logger=") for word in words) else 2}
    kept = []
    for word in words:
        key, _, value = word.partition("=")
        if "," in value and not re.search(r"[\[({]", value):
            rival_seen = any(other != "seed" for other in widths)
            value = ",".join(value.split(",")[: widths.setdefault(key, 1 if rival_seen else 2)])
            word = f"{key}={value}"
        if key == "data.path" and "tasks_1-20" in value:
            word = f"data.path={STORIES}"
        if key not in SMALLER or key == "dim":
            kept.append(word)
    typed = {word.partition("=")[0] for word in kept}
    sizes = sizes_of(
        *(word.partition(",")[0] for word in kept if re.match("data=|experiment=|hydra.searchpath=", word))
    )
    return [*kept, *(f"{key}={value}" for key, value in sizes.items() if key not in typed)]


@cache
def sizes_of(*chosen: str) -> dict[str, Any]:
    """What of SMALLER there is to be said, with these data or this experiment; and a shorter file for Beijing."""
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", list(chosen), return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    missing = object()
    sizes = {key: value for key, value in SMALLER.items() if OmegaConf.select(cfg, key, default=missing) is not missing}
    if OmegaConf.select(cfg, "data.path") == "embedded:beijing_pm25.csv.gz":
        sizes["data.path"] = HOURS
    return sizes


def write_hours_of_beijing(path: Path, count: int = 600) -> None:
    """The embedded file made short: its first hours, with values from all seasons, so that there is rain and snow."""
    with gzip.open(ASSETS / "beijing_pm25.csv.gz", "rt") as file:
        header, *rows = [line.rstrip().split(",") for line in file]
    every = len(rows) // count
    lines = [header, *(hour[:5] + values[5:] for hour, values in zip(rows[:count], rows[::every], strict=False))]
    path.write_text("".join(",".join(line) + "\n" for line in lines))


def write_measurements(path: Path) -> None:
    random, rows = np.random.default_rng(0), 400
    hours = np.datetime64("2024-01-01T00:00:00") + np.arange(rows) * np.timedelta64(3600, "s")
    load = 50 + 10 * np.sin(np.arange(rows) * np.pi / 12) + random.normal(size=rows)
    lines = [f"{hour},{a:.2f},{b:.2f}" for hour, a, b in zip(hours, load, random.normal(size=rows), strict=True)]
    path.write_text("\n".join(["date,load_kw,temperature", *lines]) + "\n")


def write_stories(folder: Path) -> None:
    folder.mkdir()
    story = "1 Mary went to the garden.\n2 John went to the office.\n3 Where is Mary?\tgarden\t1\n"
    for part in ("train", "test"):
        (folder / f"qa1_single-supporting-fact_{part}.txt").write_text(20 * story)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that readers are told to have: measurements, stories, pairs, a finished run, one that stopped, and one that
    W&B kept offline."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("my.csv", "new.csv", "building.csv"):
        write_measurements(folder / name)
    write_stories(folder / STORIES)
    write_hours_of_beijing(folder / HOURS)
    (folder / "pairs.tsv").write_text("".join(f"word {i}\ttranslation {i}\n" for i in range(40)))
    words = ["data=table", f"data.path={folder}/my.csv", "data.time=date", "data.lookback=12", "data.season=12"]
    words = ["train", *smaller(words)]
    assert run([*words, f"hydra.run.dir={folder}/runs/first"]) == 0

    def stop(self: Task, *args: Any) -> None:
        if self.global_step == 3:
            raise RuntimeError("power failure")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "on_train_batch_start", stop)
        longer = [*words, "trainer.max_steps=4", "trainer.val_check_interval=2"]
        assert run([*longer, f"hydra.run.dir={folder}/runs/stopped"]) == 1
    offline = folder / "runs" / "wandb" / "offline-run-20260101_120000-aa"
    offline.mkdir(parents=True)
    (offline / "run-aa.wandb").touch()
    return folder


@pytest.fixture
def desk(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of those, where the commands are typed."""
    monkeypatch.syspath_prepend(str(EXAMPLE_PACKAGE))
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "desk"))
    return tmp_path / "desk"


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page of each dashboard that was started: it is fetched once, and the dashboard is stopped."""
    pages: list[str] = []
    serve = uvicorn.Server.run

    def fetch(port: int) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=60) as answer:
            return answer.read().decode()

    def serve_once(server: uvicorn.Server, sockets: list[Any]) -> None:
        # In a thread of its own: the browser of another test may keep an event loop running in this one.
        with ThreadPoolExecutor(1) as apart:
            served = apart.submit(serve, server, sockets)
            try:
                pages.append(fetch(sockets[0].getsockname()[1]))
            finally:
                server.should_exit = True
            served.result()

    monkeypatch.setattr(uvicorn.Server, "run", serve_once)
    monkeypatch.setattr(dashboard, "PORT", 0)  # somebody may be looking at runs here
    monkeypatch.setattr("webbrowser.open", lambda address: None)
    return pages


@pytest.fixture
def uploaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was given to the library's own `wandb sync`."""
    runs: list[str] = []

    def upload(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        runs.extend(command[command.index("sync") + 1 :])
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr("attnlab.commands.sync.subprocess", SimpleNamespace(run=upload))
    return runs


@pytest.fixture
def _small_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two options of each group: some combinations train, some are refused."""
    few = {
        "data": ("tsp", "reverse"),
        "encoder": ("lstm", "transformer"),
        "attention": ("dot", "none"),
        "attention/normalizer": ("softmax", "sigmoid"),
    }
    monkeypatch.setattr(matrix, "choices", lambda group: few[group])


class AtOnce(Executor):
    """A pool of processes that is this process."""

    def __init__(self, *options: Any, **more: Any) -> None:
        pass

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def _small_studies(monkeypatch: pytest.MonkeyPatch, desk: Path) -> None:
    """Of each study the first problem, the first rival, one value and one seed: one training of a second."""
    monkeypatch.setenv("ATTNLAB_BABI", str(desk / STORIES))
    read = studies.read_study

    @cache
    def read_small(name: str) -> studies.Study:
        study = read(name)
        problem, rival = study.pairs()[0]
        words = study.cell(problem, rival, None, seed=1).overrides
        sizes = [word for word in smaller(list(words)) if word not in words]
        own = study.instead.get(problem, {}).get(rival, study.rivals[rival])
        return replace(
            study.only([problem], []),
            rivals={rival: (*own, *sizes)},
            instead={},
            values=study.values[:1],
            seeds=study.seeds[:1],
            reference=None,
        )

    monkeypatch.setattr(studies, "read_study", read_small)
    monkeypatch.setattr("attnlab.studies.runner.ProcessPoolExecutor", AtOnce)
