"""`attnlab.train(...)`: what `attnlab train` does, for notebooks and programs."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from attnlab.commands.overrides import explain
from attnlab.config import conf_dir, register_resolvers
from attnlab.errors import UserError, find_refusal
from attnlab.runs.record import discard_unstarted
from attnlab.runs.store import RunSummary, read_run
from attnlab.training import run


def train(*overrides: str) -> RunSummary:
    """Trains one run and returns what its record says: `.path`, `.summary["test/accuracy"]`, `.meta`.

    Args:
        overrides: words of `attnlab train`, such as "data=reverse", "encoder=gru", "trainer.max_steps=100".

    Raises:
        UserError: the overrides were refused, by the reasons that the command line gives; no record is left.
    """
    path: Path | None = None
    try:
        cfg, choices, path = _composed(list(overrides))
        run.train(cfg, path=path, overrides=list(overrides), choices=choices)
    except Exception as error:
        refusal = find_refusal(error) or explain(error, overrides)
        if refusal is None:
            raise
        if path is not None:
            discard_unstarted(path)
        raise refusal from error
    return read_run(path)


def _composed(overrides: list[str]) -> tuple[DictConfig, dict[str, str | None], Path]:
    """The config of one run, the names of its choices, and the folder of its record."""
    for word in overrides:
        if word.startswith("-") or word.startswith("experiment=study/"):
            raise UserError(f"attnlab.train makes one run and takes no {word}; sweep with attnlab train -m in a shell")
    register_resolvers()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", overrides, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)  # run_id names the choices by ${hydra:…}
    path = Path(cfg.hydra.run.dir).absolute()
    cfg.run_id = cfg.run_id
    choices = dict(cfg.hydra.runtime.choices)
    HydraConfig.instance().cfg = None
    del cfg.hydra
    return cfg, choices, path
