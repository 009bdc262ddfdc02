"""attnlab: which attention, on which encoder, for my sequence: and would an RNN have done as well?

Importing the package is cheap: torch and Lightning are loaded by the modules that need them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from attnlab.training.predictor import load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> object:
    # `attnlab.load` needs torch, `attnlab --help` must not: import it on first use.
    if name == "load":
        from attnlab.training.predictor import load

        return load
    raise AttributeError(f"module 'attnlab' has no attribute {name!r}")
