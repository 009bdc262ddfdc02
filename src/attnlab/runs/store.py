"""Reads run records: the only reader. It never writes, and shows what is broken as broken. No torch here."""

from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attnlab.errors import UserError
from attnlab.runs import record

#: A run of another host that has written nothing for so long (seconds) is taken to be dead.
SILENCE = 900.0


@dataclass(frozen=True)
class RunSummary:
    """What a list of runs shows of one.

    Args:
        status: running, finished, failed, stale (it was killed and could not say so), broken (unreadable) or foreign
            (another program's meta.json).
    """

    path: Path
    status: str
    meta: dict[str, Any]
    summary: dict[str, Any]

    @property
    def run_id(self) -> str:
        return self.path.name

    def choice(self, group: str) -> str:
        return str(self.meta.get("choices", {}).get(group, "?"))

    def to_dict(self) -> dict[str, Any]:
        return {
            "run_id": self.run_id,
            "path": str(self.path),
            "status": self.status,
            "error": self.meta.get("error"),
            "choices": self.meta.get("choices", {}),
            "seed": self.meta.get("seed"),
            "started": self.meta.get("started"),
            "summary": self.summary,
        }


class RunStore:
    """A folder of run records."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def list(self) -> list[RunSummary]:
        """Every record below the folder, oldest first; folders that are none are passed over."""
        if not self.path.is_dir():
            raise UserError(f"{self.path} is not a folder of runs (looked from {Path.cwd()}); say run_dir=DIR")
        folders = [entry for entry in self.path.iterdir() if (entry / record.META).is_file()]
        return [run for run in map(read_run, sorted(folders)) if run.status != "foreign"]


def read_run(path: Path) -> RunSummary:
    """One record, whatever state it is in."""
    meta, summary = _read_object(path / record.META), _read_object(path / record.SUMMARY)
    if not meta:
        return RunSummary(path, "broken", {}, {})
    if "schema" not in meta or not isinstance(meta.get("choices"), dict):
        return RunSummary(path, "foreign", {}, {})
    status = meta.get("status", "broken")
    if status == "finished" and not summary:
        status = "broken"
    if status == "running" and _is_dead(path, meta):
        status = "stale"
    return RunSummary(path, status, meta, summary)


def find_run(path: str) -> Path:
    """The folder of a run that was named on the command line.

    Raises:
        UserError: it is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        raise UserError(f"{path} is not a folder (looked from {Path.cwd()}); `attnlab runs` lists the runs")
    if not (folder / record.META).is_file() or not (folder / record.CONFIG).is_file():
        raise UserError(f"{path} is not a run record: it has no {record.META} and {record.CONFIG}")
    return folder.resolve()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """metrics.jsonl, without a last line that was cut off."""
    return [row for _, row in record.metric_lines(path / record.METRICS)]


def read_config(path: Path) -> dict[str, Any]:
    """config.yaml as plain values; empty where it is missing or damaged."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C one is ten times faster
    try:
        content = yaml.load((path / record.CONFIG).read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_object(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one where the file is missing or damaged."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _is_dead(path: Path, meta: dict[str, Any]) -> bool:
    if meta.get("host") == socket.gethostname():
        try:
            os.kill(int(meta["pid"]), 0)
        except (ProcessLookupError, KeyError, ValueError):
            return True
        except PermissionError:
            return False
        return False
    written = max(file.stat().st_mtime for file in path.iterdir() if file.is_file())
    return time.time() - written > SILENCE
