"""attnlab: which attention, on which encoder, for my sequence: and would an RNN have done as well?

Importing the package is cheap: torch and Lightning are loaded by the modules that need them.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Torch's threads wait for each other by spinning. Without a bound, another busy process makes small models tens of
# times slower (an LSTM step: 0.02 s alone, 6 s beside two busy processes; bounded: 0.02 s and 0.25 s). The bound is
# read when torch is first imported, so it stands here and not where torch is used.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

if TYPE_CHECKING:
    from attnlab.training.from_python import train
    from attnlab.training.predictor import load

__all__ = ["__version__", "load", "train"]

#: Name → the module that has it. They need torch, `attnlab --help` must not: they are imported on first use.
LAZY = {"load": "attnlab.training.predictor", "train": "attnlab.training.from_python"}


def __getattr__(name: str) -> object:
    if name in LAZY:
        return getattr(import_module(LAZY[name]), name)
    raise AttributeError(f"module 'attnlab' has no attribute {name!r}")
