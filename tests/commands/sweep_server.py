"""What stands in for a W&B server of sweeps, and for its agent."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args
from wandb.sdk.lib.config_util import save_config_file_from_dict


class SweepServer:
    """Takes sweeps and agents. Everybody who asks W&B while the patch lasts asks it.

    An agent trains nothing, unless there are values to propose: then it types one trial as W&B's agent would, offline.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.sweeps: list[dict[str, Any]] = []
        self.agents: list[tuple[str, dict[str, Any]]] = []
        self.proposed: dict[str, Any] = {}
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
        if self.proposed:
            self.train()

    def train(self) -> None:
        """The command of the last sweep, with its ${...} filled in by the library, as its Agent._command_run does."""
        values = {name: {"value": value} for name, value in self.proposed.items()}
        save_config_file_from_dict("wandb/sweep-abc123/config-trial1.yaml", values)
        filled = create_sweep_command_args({"args": values})
        filled["env"] = ["/usr/bin/env"]
        command: list[str] = []
        for word in create_sweep_command(list(self.sweeps[-1]["definition"]["command"])):
            command += filled[word[2:-1]] if word.startswith("${") else [word]
        trial = {
            "WANDB_MODE": "offline",
            "WANDB_SWEEP_ID": "abc123",
            "WANDB_RUN_ID": "trial1",
            "WANDB_SWEEP_PARAM_PATH": "wandb/sweep-abc123/config-trial1.yaml",
        }
        subprocess.run(command, env=os.environ | trial, check=True)
