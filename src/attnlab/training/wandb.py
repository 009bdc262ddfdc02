"""Weights & Biases beside the run record, online where it can be and offline where it cannot."""

from __future__ import annotations

import os
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import wandb
from pytorch_lightning.loggers import WandbLogger

from attnlab.runs.record import RunRecord
from attnlab.training.console import say

#: Seconds to wait for an answer from the W&B server; the library alone waits about a hundred.
PATIENCE = 8.0


def wandb_logger(
    record: RunRecord, *, project: str, group: str | None, tags: Sequence[str], save_dir: str
) -> WandbLogger:
    """A W&B run of its own for each run record, under the same name.

    With WANDB_API_KEY it is online, unless the server does not answer; without, offline, and nobody is asked anything.
    WANDB_MODE, where it is set, decides.
    """
    mode: Any = os.environ.get("WANDB_MODE") or _mode()
    folder = Path(save_dir).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    choices = record.meta["choices"]
    # We begin the run ourselves: Lightning would pass an option that W&B warns about.
    run = wandb.init(
        name=record.run_id,
        project=project,
        group=group or "_".join(choices[part] for part in ("data", "encoder", "attention")),
        tags=list(tags),
        dir=str(folder),
        mode=mode,
        settings=wandb.Settings(silent=True),  # what to type next is said by us, at the end
    )
    record.update(wandb_id=run.id)
    return WandbLogger(experiment=run)


def finish(logger: WandbLogger, record: RunRecord, *, exit_code: int) -> None:
    """Closes the W&B run, so that the next job of a sweep gets its own."""
    run = logger.experiment
    offline = run.settings._offline
    folder = os.path.relpath(run.dir + "/..")
    run.finish(exit_code=exit_code)
    if offline:
        say(f"W&B      offline; to upload it later: wandb sync {folder}")


def log_figures(logger: WandbLogger, figures: dict[str, Path]) -> None:
    for name, path in figures.items():
        logger.log_image(key=f"plots/{name}", images=[str(path)])


def _mode() -> str:
    if not os.environ.get("WANDB_API_KEY"):
        return "offline"
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    if answers(server, PATIENCE):
        return "online"
    say(f"W&B      {server} does not answer; this run is logged offline")
    return "offline"


def answers(server: str, patience: float) -> bool:
    """Whether an HTTP server says anything at all within `patience` seconds, name look-up included."""
    heard: list[Any] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(server, timeout=patience).close()  # honours HTTPS_PROXY
        except urllib.error.HTTPError:
            heard.append(True)  # an error page is an answer
        except (OSError, ValueError):
            return
        heard.append(True)

    asking = threading.Thread(target=ask, daemon=True)  # a name look-up knows no timeout of its own
    asking.start()
    asking.join(patience)
    return bool(heard)
