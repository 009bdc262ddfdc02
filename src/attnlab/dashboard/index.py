"""What the dashboard knows of a folder of runs: a cache of the records, read anew where a file has changed."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from starlette.exceptions import HTTPException

from attnlab.runs import record
from attnlab.runs.store import RunSummary, read_run


@dataclass
class _Entry:
    signature: tuple[tuple[int, int] | None, ...]
    run: RunSummary


@dataclass
class RunIndex:
    """A folder of run records that is looked at again and again."""

    path: Path
    _entries: dict[str, _Entry] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def folder(self, run_id: str) -> Path:
        """The folder of a run.

        Raises:
            HTTPException: 404, there is no such run.
        """
        folder = self.path / run_id
        if run_id in ("", ".", "..") or Path(run_id).name != run_id or not folder.is_dir():
            raise HTTPException(404, f"{self.path} has no run {run_id}")
        return folder

    def runs(self) -> list[RunSummary]:
        """Every record, in whatever state it is, oldest first."""
        with self._lock:
            found = sorted(entry for entry in self.path.iterdir() if (entry / record.META).is_file())
            return [read_run(folder) for folder in found]
