"""attnlab sync: offline W&B runs, uploaded later."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from attnlab.commands.selection import run_folder
from attnlab.errors import UserError


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab sync",
        description="Upload the runs that logger=wandb kept offline. Also: run_dir=DIR (default runs), the parent of "
        "the run records or the logger's save_dir.",
    )
    parser.add_argument("overrides", nargs="*", metavar="run_dir=DIR")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")
    options = parser.parse_args(arguments)
    folder = run_folder("sync", options.overrides)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of runs (looked from {Path.cwd()}); say run_dir=DIR")
    waiting, uploaded = offline_runs(folder)
    print(f"{folder}: {len(waiting)} offline W&B runs to upload, {len(uploaded)} uploaded before")
    for run in waiting if options.dry_run else []:
        print(f"  {run}")
    if options.dry_run or not waiting:
        return 0
    if not os.environ.get("WANDB_API_KEY"):
        raise UserError("WANDB_API_KEY is not set, and W&B takes no runs without it; copy it from wandb.ai/authorize")
    # The library uploads runs side by side, but the legs of a resumed run, which share an id, in order of their start.
    return subprocess.run([sys.executable, "-m", "wandb", "sync", *map(str, waiting)], check=False).returncode


def offline_runs(folder: Path) -> tuple[list[Path], list[Path]]:
    """The offline runs below a folder, in the order of their start: those to upload, and those uploaded before."""
    runs = sorted(path for path in folder.glob("wandb/offline-run-*") if list(path.glob("*.wandb")))
    uploaded = [run for run in runs if list(run.glob("*.wandb.synced"))]
    return [run for run in runs if run not in uploaded], uploaded
