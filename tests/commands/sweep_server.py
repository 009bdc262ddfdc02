"""What stands in for a W&B server of sweeps."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import wandb


class SweepServer:
    """Takes sweeps and agents, and trains nothing. Everybody who asks W&B while the patch lasts asks it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sweeps: list[dict[str, Any]] = []
        self.agents: list[tuple[str, dict[str, Any]]] = []
        patch.setattr(wandb, "sweep", self.sweep)
        patch.setattr(wandb, "agent", self.agent)
        patch.setenv("WANDB_API_KEY", "0" * 40)
        patch.setenv("PATH", os.environ["PATH"])
        patch.setattr("attnlab.training.loggers.wandb.answers", lambda server, patience: True)

    def sweep(self, definition: dict[str, Any], **place: Any) -> str:
        self.sweeps.append({"definition": definition, "place": place})
        return "abc123"

    def agent(self, sweep_id: str, **options: Any) -> None:
        self.agents.append((sweep_id, options))
        assert (Path(os.environ["PATH"].split(os.pathsep)[0]) / "attnlab").is_file()
