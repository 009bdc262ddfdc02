"""Where the configuration lies, what it offers, and the check that values are of the right kind. No torch here."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

#: The groups a user chooses from, in the order in which they are listed.
GROUPS = (
    "data",
    "encoder",
    "attention",
    "attention/normalizer",
    "attention/position",
    "attention/window",
    "head",
    "optimizer",
    "scheduler",
    "trainer",
    "callbacks",
    "logger",
    "sweep",
    "experiment",
)
#: Those that make a model, as messages name them.
MODEL_GROUPS = ("data", "encoder", "attention", "attention/normalizer", "head")


def conf_dir() -> Path:
    """conf/ of the checkout, or the copy that the wheel holds."""
    package = Path(__file__).parent
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "train.yaml").is_file():
            return candidate
    raise FileNotFoundError(f"no conf/train.yaml beside {package}; reinstall attnlab")


def choices(group: str) -> dict[str, str]:
    """The options of a group → the one line that each file begins with."""
    found = {}
    folder = conf_dir() / group
    # Studies lie one folder deeper, and are chosen as experiment=study/NAME.
    for path in [
        *sorted(folder.glob("*.yaml")),
        *(sorted(folder.glob("study/*.yaml")) if group == "experiment" else []),
    ]:
        lines = path.read_text(encoding="utf-8").splitlines()
        first = next((line for line in lines if line.startswith("# ") and not line.startswith("# @")), "#")
        found[path.relative_to(folder).with_suffix("").as_posix()] = first.removeprefix("#").strip()
    return found


def near_miss(name: str, known: Iterable[str]) -> str:
    """ "; did you mean …?" where something is close, else what there is."""
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"choose from {', '.join(known)}"


def register_resolvers() -> None:
    """`${unique:}`: four letters that no other run of the same second has."""
    from omegaconf import OmegaConf

    OmegaConf.register_new_resolver("unique", lambda: os.urandom(2).hex(), use_cache=True, replace=True)
