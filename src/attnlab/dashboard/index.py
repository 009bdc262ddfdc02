"""What the dashboard knows of a folder of runs: a cache of the records, read anew where a file has changed.

It lives in memory and is made again whenever the dashboard is started. Nothing is written but reviews.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from starlette.exceptions import HTTPException

from attnlab.dashboard.review import REVIEW, read_review
from attnlab.errors import UserError
from attnlab.runs import record
from attnlab.runs.metrics import best_end, key_metric
from attnlab.runs.store import RunSummary, read_run

#: Files that a row is made of.
WATCHED = (record.META, record.SUMMARY, record.METRICS, record.CONFIG, REVIEW)
#: Seconds that one look may spend on configs. YAML is slow to read: a thousand records appear at once, their configs
#: within the next looks.
CONFIG_BUDGET = 0.1
#: Seconds within which a look is not repeated, since several pages may be open; and how many times as long as the look
#: itself took, so that a huge folder never costs more than a few hundredths of a core.
FRESH, REST = 0.5, 30.0
#: Of so many looks one looks at every file. The others trust the time of an ended run's folder, which changes whenever
#: a file is renamed into it, as all that attnlab writes then is: one question to the disk in place of five.
THOROUGH = 10
#: Bytes at the end of metrics.jsonl in which the latest validation is looked for.
TAIL = 32_768
#: Keys of a config that say where a run lies and not what it is.
PLACES = ("run_id", "run_dir")

Signature = tuple[tuple[int, int] | None, ...]


@dataclass
class _Entry:
    """A folder as it was last seen; `config` is None until there was time to read it."""

    path: Path
    signature: Signature
    run: RunSummary
    folder_time: int = 0
    config: dict[str, Any] | None = None
    row: dict[str, Any] = field(default_factory=dict)
    changed: int = 0


class RunIndex:
    """A folder of run records that is looked at again and again, by several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, _Entry] = {}
        self._removed: dict[str, int] = {}
        self._counter = 0
        self._next_look = 0.0
        self._looks = 0
        self._lock = threading.Lock()
        self._start = f"{time.time_ns():x}"  # a page that outlives the dashboard must not trust its old numbers

    def folder(self, run_id: str) -> Path:
        """The folder of a run.

        Raises:
            HTTPException: 404, there is no such run.
        """
        folder = self.path / run_id
        if run_id in ("", ".", "..") or Path(run_id).name != run_id or not folder.is_dir():
            raise HTTPException(404, f"{self.path} has no run {run_id}")
        return folder

    def warm(self) -> None:
        """Reads everything, a little at a time, so that whoever asks meanwhile gets a turn."""
        while self.changes("")["reading"]:
            time.sleep(0.01)

    def runs(self) -> list[RunSummary]:
        """Every record, in whatever state it is, by name."""
        with self._lock:
            self._look()
            return [self._entries[name].run for name in sorted(self._entries)]

    def configs(self) -> dict[str, dict[str, Any]]:
        """The flat config of every run that has a readable one."""
        with self._lock:
            self._look(all_configs=True)
            return {name: entry.config for name, entry in self._entries.items() if entry.config}

    def rows(self, run_ids: list[str] | None = None) -> list[dict[str, Any]]:
        """What a table shows of the runs, with all configs; unknown ones are passed over."""
        with self._lock:
            self._look(all_configs=True)
            chosen = sorted(self._entries) if run_ids is None else run_ids
            return [self._entries[name].row for name in chosen if name in self._entries]

    @property
    def version(self) -> str:
        with self._lock:
            self._look()
            return f"{self._start}-{self._counter}"

    def changes(self, since: str) -> dict[str, Any]:
        """Rows that have changed since a version, and runs that are gone; everything for a version that is not ours."""
        with self._lock:
            self._look()
            start, _, number = since.partition("-")
            after = int(number) if start == self._start and number.isdigit() else -1
            return {
                "version": f"{self._start}-{self._counter}",
                "complete": after < 0,
                "reading": sum(entry.config is None for entry in self._entries.values()),
                "rows": [entry.row for entry in self._entries.values() if entry.changed > after],
                "removed": [name for name, changed in self._removed.items() if changed > after],
            }

    def _look(self, *, all_configs: bool = False) -> None:
        started = time.monotonic()
        if started < self._next_look and not any(entry.config is None for entry in self._entries.values()):
            return
        changed = self._read_changed()
        looked = time.monotonic()
        for entry in self._entries.values():
            if entry.config is None:
                if not all_configs and time.monotonic() - looked > CONFIG_BUDGET:
                    break
                entry.config = _read_config(entry.path / record.CONFIG)
                changed.append(entry)
        if changed:
            self._counter += 1
        for entry in changed:
            entry.changed = self._counter
            entry.row = _row(entry)
        self._next_look = time.monotonic() + max(FRESH, REST * (looked - started))

    def _read_changed(self) -> list[_Entry]:
        seen, changed = set(), []
        thorough = self._looks % THOROUGH == 0
        self._looks += 1
        try:
            folders = [entry for entry in os.scandir(self.path) if entry.is_dir() and not entry.name.startswith(".")]
        except OSError:  # the whole folder is gone; it may come back
            folders = []
        for folder in folders:
            seen.add(folder.name)
            known = self._entries.get(folder.name)
            folder_time = _time(folder)
            ended = known is not None and known.run.status != "running" and known.folder_time == folder_time
            if ended and not thorough:
                continue
            signature = tuple(_stamp(folder.path, name) for name in WATCHED)
            # A run that is being trained may die without touching a file.
            if known is not None and known.signature == signature and known.run.status != "running":
                continue
            path = Path(folder.path)
            run = _read(path, signature)
            if known is not None and known.signature == signature and known.run.status == run.status:
                continue
            entry = _Entry(path, signature, run, folder_time)
            place = WATCHED.index(record.CONFIG)
            if known is not None and known.signature[place] == signature[place]:
                entry.config = known.config
            self._entries[folder.name] = entry
            self._removed.pop(folder.name, None)
            changed.append(entry)
        for name in self._entries.keys() - seen:
            del self._entries[name]
            self._counter += 1
            self._removed[name] = self._counter
        return changed


def is_rising(metric: str, run: RunSummary | None = None) -> bool:
    """Whether more is better; less is, where nothing tells."""
    try:
        return best_end(metric, run or RunSummary(Path(), "", {}, {})) == "max"
    except UserError:
        return False


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"trainer": {"max_steps": 5}} → {"trainer.max_steps": 5}."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif key != "_partial_":
            flat[f"{prefix}{key}"] = value
    return flat


def _time(folder: os.DirEntry[str]) -> int:
    try:
        return os.stat(folder.path).st_mtime_ns  # folder.stat() would tell what it was when it was first asked
    except OSError:
        return 0


def _stamp(folder: str, name: str) -> tuple[int, int] | None:
    try:
        status = os.stat(os.path.join(folder, name))
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _read(path: Path, signature: Signature) -> RunSummary:
    """A folder without a meta.json of ours is no run record; it is shown as what it is, since a person put it there."""
    if signature[WATCHED.index(record.META)] is not None:
        return read_run(path)
    try:
        status = "foreign" if any(path.iterdir()) else "empty"
    except OSError:
        status = "broken"
    return RunSummary(path, status, {}, {})


def _read_config(file: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), loader)
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    if not isinstance(content, dict):
        return {}
    return flatten({key: value for key, value in content.items() if key not in PLACES})


def _row(entry: _Entry) -> dict[str, Any]:
    run, config = entry.run, entry.config or {}
    meta, summary = run.meta, run.summary
    metric = key_metric(run)
    row: dict[str, Any] = {
        "id": run.run_id,
        "status": run.status,
        "error": meta.get("error"),
        "seed": meta.get("seed"),
        "started": meta.get("started"),
        "ended": meta.get("ended"),
        "device": meta.get("device"),
        "choices": meta.get("choices", {}),
        "parameters": meta.get("num_parameters"),
        "seconds": summary.get("train_seconds"),
        "memory": summary.get("peak_memory_bytes"),
        "steps": summary.get("steps"),
        "progress": 1.0 if run.status == "finished" else None,
        "metric": metric,
        "value": summary.get(metric or ""),
        "rising": is_rising(metric or "", run),
        "summary": summary,
        "config": config,
        "review": read_review(entry.path),
    }
    if run.status in ("running", "failed", "stale"):
        row |= _so_far(entry, config)
    return row


def _so_far(entry: _Entry, config: dict[str, Any]) -> dict[str, Any]:
    """Of a run that has no summary: where it is, and its latest validation."""
    lines = _last_lines(entry.path / record.METRICS)
    if not lines:
        return {}
    last = lines[-1]
    facts: dict[str, Any] = {"steps": last.get("step"), "seconds": last.get("time")}
    facts["progress"] = _progress(last, config)
    if entry.run.status == "running":
        facts["memory"] = _memory(entry.run.meta)
    metric = (key_metric(entry.run) or "").replace("test/", "val/")
    found = next((line for line in reversed(lines) if metric in line), None)
    if found:
        facts |= {"metric": metric, "value": found[metric], "rising": is_rising(metric, entry.run)}
    return facts


def _memory(meta: dict[str, Any]) -> int | None:
    """The most bytes that a training has held so far; None for one on a GPU, on another host, or where no /proc is."""
    if meta.get("device") != "cpu" or meta.get("host") != socket.gethostname():
        return None
    try:
        status = Path(f"/proc/{int(meta['pid'])}/status").read_text()
    except (OSError, ValueError, KeyError):
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _progress(line: dict[str, Any], config: dict[str, Any]) -> float | None:
    """Share of the training that is done; whichever of steps and epochs ends it first."""
    shares = []
    for now, key in ((line.get("step"), "trainer.max_steps"), (line.get("epoch"), "trainer.max_epochs")):
        total = config.get(key)
        if isinstance(now, int) and isinstance(total, int) and total > 0:
            shares.append(now / total)
    return min(1.0, max(shares)) if shares else None


def _last_lines(file: Path) -> list[dict[str, Any]]:
    try:
        with open(file, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - TAIL))
            text = stream.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    lines = []
    for line in text.splitlines():
        try:
            content = json.loads(line)
        except ValueError:  # the first may be cut by us, the last is perhaps being written
            continue
        if isinstance(content, dict):
            lines.append(content)
    return lines
