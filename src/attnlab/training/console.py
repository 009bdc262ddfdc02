"""What attnlab says to the person at the screen, and keeps in the run's train.log."""

from __future__ import annotations

import io
import logging
import sys
import warnings

from rich.console import Console
from rich.table import Table

log = logging.getLogger("attnlab")


def console() -> Console:
    """The screen; as wide as the terminal, or wide enough for our tables where there is none."""
    # A notebook calls itself a terminal, but no line of it can be written anew: there it is text, line by line.
    notebook = type(sys.stdout).__module__.startswith("ipykernel")
    return Console(
        file=sys.stdout,
        highlight=False,
        width=None if sys.stdout.isatty() and not notebook else 120,
        force_terminal=False if notebook else None,
        force_jupyter=False,
    )


def say(content: str | Table) -> None:
    """Prints, and keeps the plain text."""
    console().print(content, soft_wrap=isinstance(content, str))
    plain = Console(file=io.StringIO(), width=120, force_jupyter=False)
    plain.print(content, soft_wrap=isinstance(content, str))
    assert isinstance(plain.file, io.StringIO)
    log.info(plain.file.getvalue().rstrip())


def quiet_libraries() -> None:
    """Tips and warnings that the user cannot act on go to train.log, not to the screen."""
    logging.captureWarnings(True)
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # until Lightning follows torch
    for name in ("pytorch_lightning", "lightning", "lightning.pytorch", "lightning.fabric", "lightning_fabric"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # Python shows warnings through a handler of last resort where the root logger has none.
    if not logging.getLogger().handlers:
        logging.getLogger().addHandler(logging.NullHandler())
