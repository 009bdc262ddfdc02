"""attnlab train: Hydra composes, trains and sweeps; this door makes its errors readable."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from attnlab.config import GROUPS, choices, conf_dir, register_resolvers
from attnlab.errors import UserError, find_refusal

if TYPE_CHECKING:
    from omegaconf import DictConfig

USAGE = """\
usage: attnlab train [-m] [GROUP=CHOICE ...] [KEY=VALUE ...]

  attnlab train data=tsp encoder=transformer attention=additive attention/normalizer=sparsemax data.num_points=10
  attnlab train -m encoder=lstm,transformer attention=dot,additive seed=1,2,3      a sweep: every combination
  attnlab train data=table data.path=my.csv data.time=date                         your own measurements

  -m, --multirun      every combination of comma-separated values, one run each
  --cfg job           print the resolved configuration instead of training
  --hydra-help        what else Hydra can do
  run_dir=DIR         parent of the run records (runs)
  hydra.run.dir=DIR   this very run's record
"""


#: The group that W&B puts the runs of a sweep into: in the environment, where jobs in processes of their own find it.
SWEEP = "WANDB_RUN_GROUP"

#: The error of a single run: raised through Hydra it would be announced by Hydra as well.
refused: list[Exception] = []


class JobFailed(Exception):
    """A job of a sweep failed and has already been reported."""


def main(arguments: list[str]) -> int:
    if any(word in ("-h", "--help") for word in arguments):
        print(_help())
        return 0
    studies = [word.removeprefix("experiment=study/") for word in arguments if word.startswith("experiment=study/")]
    if studies:
        return _run_study(studies[0], arguments)
    from hydra import main as hydra_main

    from attnlab.commands.overrides import explain

    os.environ["HYDRA_FULL_ERROR"] = "1"  # errors come to us, not to Hydra's printer
    register_resolvers()
    # Overrides last: Hydra takes them in one block only, and would refuse `train data=tsp -m seed=1,2`.
    program, sys.argv = sys.argv, [sys.argv[0], *sorted(arguments, key=_is_override)]
    refused.clear()
    group = os.environ.get(SWEEP)
    if any(word in ("-m", "--multirun") for word in arguments):
        os.environ.setdefault(SWEEP, time.strftime("sweep_%Y%m%d-%H%M%S"))
    try:
        if "sweep=wandb" in arguments and not any(word.startswith("--cfg") for word in arguments):
            from attnlab.commands.wandb_sweep import run_sweep

            run_sweep(arguments)
        else:
            hydra_main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(job)()
    except JobFailed as failure:
        print(f"attnlab: {failure}", file=sys.stderr)
        return 1
    except UserError:
        raise
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise UserError(
            f"{error.filename} cannot hold a run record ({error.strerror}); choose another run_dir"
        ) from error
    except Exception as error:
        refusal = explain(error, arguments)
        if refusal is None:
            raise
        raise refusal from error
    finally:
        sys.argv = program
        if group is None:
            os.environ.pop(SWEEP, None)
    if refused:
        raise refused[0]
    return 0


def _run_study(name: str, arguments: list[str]) -> int:
    """A sweep that is no plain product of options: rivals with several options each, and a table at the end."""
    from attnlab.commands import study

    words = [word for word in arguments if word not in ("-m", "--multirun") and not word.startswith("experiment=")]
    refused = [word for word in words if word.startswith("-")]
    if refused:
        raise UserError(
            f"experiment=study/{name} is a sweep of its own and takes no {refused[0]}; see attnlab study --help"
        )
    folders = [word.removeprefix("run_dir=") for word in words if word.startswith("run_dir=")]
    own = [word for word in words if not word.startswith("run_dir=")]
    return study.main([name, *own, *(["--run-dir", folders[-1]] if folders else [])])


def job(cfg: DictConfig) -> None:
    """One run. In a sweep a failure is told at once and the other jobs go on."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from attnlab.cli import report
    from attnlab.commands.overrides import explain
    from attnlab.runs.record import discard_unstarted
    from attnlab.training.run import train

    hydra = HydraConfig.get()
    path = Path(hydra.runtime.output_dir)
    try:
        train(cfg, path=path, overrides=list(hydra.overrides.task), choices=hydra.runtime.choices)
    except Exception as failure:
        error: Exception = failure
        refusal = explain(failure, hydra.overrides.task)
        if refusal is not None:
            refusal.__cause__ = failure
            error = refusal
        if hydra.mode != RunMode.MULTIRUN:
            # Refused: the person is told right away, and a record would only be in the way.
            if find_refusal(error) or not (path / "meta.json").exists():
                discard_unstarted(path)
            refused.append(error)
            return
        report(find_refusal(error) or error)
        raise JobFailed("some runs of this sweep failed, as said above; `attnlab runs` lists them") from error


def _is_override(word: str) -> bool:
    return not word.startswith("-") and ("=" in word or word.startswith("~"))


def _help() -> str:
    lines = [USAGE]
    for group in GROUPS:
        lines.append(f"{group}=")
        lines += [f"  {name:<21} {text}" for name, text in choices(group).items()]
    return "\n".join(lines)
