"""attnlab train sweep=wandb: a W&B server proposes each next run, and an agent here trains it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attnlab.config import conf_dir, register_resolvers
from attnlab.errors import UserError

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from omegaconf import DictConfig

CHOICE = "sweep=wandb"
EXAMPLE = "encoder=lstm,gru or optimizer.lr=tag(log,interval(1e-4,1e-2))"


def run_sweep(arguments: Sequence[str]) -> None:
    """Makes a sweep of the options that were given several values, or joins one, and trains what the server proposes.

    Raises:
        UserError: nothing varies, or something that cannot; or there is no server to ask.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.override_parser.overrides_parser import OverridesParser

    flags = [word for word in arguments if word.startswith("-")]
    if flags:
        raise UserError(f"{CHOICE} is a sweep of its own and takes no {flags[0]}; leave it out")
    overrides = OverridesParser.create().parse_overrides(list(arguments))
    words = {str(override.input_line): override for override in overrides}
    varied = {word.partition("=")[0]: _parameter(it) for word, it in words.items() if it.is_sweep_override()}
    fixed = [word for word, override in words.items() if not override.is_sweep_override()]
    register_resolvers()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides=fixed)
    own = [word for word in fixed if not word.startswith("sweep")]
    if cfg.sweep.id is not None and (varied or own):
        raise UserError(
            f"sweep.id joins a sweep that has its own options, so {[*varied, *own][0]} would have no effect"
        )
    if cfg.sweep.id is None and not varied:
        raise UserError(f"{CHOICE} has nothing to vary; give an option several values, such as {EXAMPLE}")
    if "data" in varied:
        raise UserError(f"{CHOICE} ranks runs by one metric, so data cannot vary; start a sweep for each")
    if cfg.sweep.method == "grid" and any("values" not in parameter for parameter in varied.values()):
        raise UserError("sweep.method=grid cannot try every number of an interval; list the values, or use random")
    _ask_for_a_server()

    import wandb

    place = {"project": cfg.sweep.project, "entity": cfg.sweep.entity}
    sweep_id = cfg.sweep.id or wandb.sweep(_definition(cfg, varied, own), **place)
    # The command names attnlab without its folder, so that agents on other machines can run it too.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    wandb.agent(sweep_id, count=cfg.sweep.count, **place)


def _definition(cfg: DictConfig, varied: dict[str, dict[str, Any]], fixed: list[str]) -> dict[str, Any]:
    """The sweep as W&B keeps it: each run is an ordinary `attnlab train` with the proposed values as overrides."""
    from hydra.utils import get_class

    data: Any = get_class(cfg.data._target_)
    logger = [] if any(word.startswith("logger=") for word in fixed) else ["logger=wandb"]
    return {
        "method": cfg.sweep.method,
        "metric": {
            "name": f"val/{data.key_metric}",
            "goal": {"min": "minimize", "max": "maximize"}[data.key_mode],
        },
        "parameters": varied,
        "command": ["${env}", "attnlab", "train", *fixed, *logger, "${args_no_hyphens}"],
    }


def _parameter(override: Override) -> dict[str, Any]:
    """Several values of an option in Hydra's words → in W&B's."""
    from hydra.core.override_parser.types import Glob, IntervalSweep, Transformer

    value = override.value()
    if isinstance(value, IntervalSweep):
        assert value.start is not None
        assert value.end is not None
        if "log" in value.tags:
            kind = "log_uniform_values"
        else:
            kind = "int_uniform" if isinstance(value.start, int) and isinstance(value.end, int) else "uniform"
        return {"distribution": kind, "min": value.start, "max": value.end}
    if isinstance(value, Glob):
        raise UserError(f"{override.input_line} names no values; list them with commas")
    return {"values": list(override.sweep_iterator(transformer=Transformer.encode))}


def _ask_for_a_server() -> None:
    from attnlab.training.loggers.wandb import PATIENCE, answers, server

    missing = None
    if not os.environ.get("WANDB_API_KEY"):
        missing = "WANDB_API_KEY is not set"
    elif not answers(server(), PATIENCE):
        missing = f"{server()} does not answer"
    if missing:
        raise UserError(
            f"{CHOICE} asks a W&B server for each next run, and {missing}; set WANDB_API_KEY (and WANDB_BASE_URL for a "
            "server of your own), or sweep without one: attnlab train -m"
        )
