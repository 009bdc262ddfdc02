"""The run record: a folder that says all there is to say about a run. Written here, read by RunStore. No torch here."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from attnlab.errors import UserError

SCHEMA = 1
META, CONFIG, OVERRIDES = "meta.json", "config.yaml", "overrides.txt"
METRICS, SUMMARY, LOG = "metrics.jsonl", "summary.json", "train.log"
CHECKPOINTS, ATTENTION, PREDICTIONS, PLOTS = "checkpoints", "attention", "predictions", "plots"
PACKAGES = (
    "attnlab",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "wandb",
    "numpy",
    "pyarrow",
)


class RunRecord:
    """One run's folder, while it is being written."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta: dict[str, Any] = json.loads((path / META).read_text())

    @classmethod
    def create(
        cls, path: Path, *, config_yaml: str, overrides: Sequence[str], choices: Mapping[str, str], seed: int
    ) -> RunRecord:
        """Begins a record.

        Raises:
            UserError: the folder already holds one.
        """
        path.mkdir(parents=True, exist_ok=True)
        try:  # exclusive: of two runs that want the same folder, one is told
            descriptor = os.open(path / META, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            raise UserError(f"{path} already holds a run record; choose another hydra.run.dir, or remove it") from None
        meta = {
            "schema": SCHEMA,
            "run_id": path.name,
            "status": "running",
            "error": None,
            "choices": dict(choices),
            "seed": seed,
            "started": _now(),
            "ended": None,
            "device": None,
            "num_parameters": None,
            "data_sha256": None,
            **_process(),
            "python": platform.python_version(),
            "versions": {name: metadata.version(name) for name in PACKAGES},
            "git": _git(),
        }
        with os.fdopen(descriptor, "w") as file:
            json.dump(meta, file, indent=2)
        (path / CONFIG).write_text(config_yaml)
        (path / OVERRIDES).write_text("".join(f"{override}\n" for override in overrides))
        return cls(path)

    @classmethod
    def reopen(cls, path: Path, *, steps: int) -> RunRecord:
        """Goes on with a record of a run that was stopped, from a checkpoint after so many steps.

        What metrics.jsonl says of later steps is dropped: they are made again.
        """
        record = cls(path)
        lines = [line for line, row in metric_lines(path / METRICS) if row["step"] < steps]
        write_text(path / METRICS, "".join(f"{line}\n" for line in lines))
        resumed = [*record.meta.get("resumed", []), {"at": _now(), "steps": steps}]
        record.update(status="running", error=None, ended=None, **_process(), resumed=resumed)
        return record

    @property
    def resumed(self) -> bool:
        return bool(self.meta.get("resumed"))

    def last_time(self) -> float:
        """Seconds from the start to the last line of metrics.jsonl; 0 where there is none."""
        rows = metric_lines(self.path / METRICS) if (self.path / METRICS).exists() else []
        return float(rows[-1][1]["time"]) if rows else 0.0

    @property
    def run_id(self) -> str:
        return self.path.name

    def folder(self, name: str) -> Path:
        """A subfolder, made when it is first needed."""
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        return folder

    def update(self, **facts: Any) -> None:
        """Adds to meta.json."""
        self.meta.update(facts)
        write_json(self.path / META, self.meta)

    def finish(self, summary: Mapping[str, float | int]) -> None:
        """The summary first and the status last: a run that says "finished" is."""
        write_json(self.path / SUMMARY, dict(summary))
        self.update(status="finished", ended=_now())

    def fail(self, error: BaseException) -> None:
        message = str(error).strip() or "stopped from outside"
        self.update(status="failed", ended=_now(), error=f"{type(error).__name__}: {message}")


def discard_unstarted(path: Path) -> None:
    """Removes what this process wrote about a run that never made a step; anything else in the folder stays."""
    files = [path / name for name in (META, CONFIG, OVERRIDES, LOG)]
    if (path / METRICS).exists() or not path.is_dir():
        return
    if files[0].exists() and json.loads(files[0].read_text()).get("pid") != os.getpid():
        return  # the record of another run, which is why this one was refused
    for file in files:
        file.unlink(missing_ok=True)
    if not any(path.iterdir()):
        path.rmdir()


def write_json(path: Path, content: Mapping[str, Any], *, indent: int | None = 2) -> None:
    write_text(path, json.dumps(content, indent=indent) + "\n")


def write_text(path: Path, content: str) -> None:
    """Under a temporary name, to the disk, then renamed: never half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def metric_lines(file: Path) -> list[tuple[str, dict[str, Any]]]:
    """The lines of metrics.jsonl with what they say, without a last line that was cut off."""
    found = []
    for line in file.read_text().splitlines():
        try:
            found.append((line, json.loads(line)))
        except ValueError:
            break
    return found


def _process() -> dict[str, Any]:
    """Who writes the record: what tells a run that goes on from one that was killed."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds")


def _git() -> dict[str, Any] | None:
    """The commit of the checkout that the package runs from; None where it runs from a wheel."""
    here = Path(__file__).parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        if not git("ls-files", __file__):  # some other repository that happens to hold our site-packages
            return None
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
