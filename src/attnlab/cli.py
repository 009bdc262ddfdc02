"""The door: `attnlab COMMAND`. Knows the commands by name only, so that help is instant."""

from __future__ import annotations

import os
import sys
import traceback
from importlib import import_module

from attnlab import __version__
from attnlab.config import near_miss
from attnlab.errors import UserError, find_refusal

#: command → what it does; each lives in attnlab.commands under its name.
COMMANDS = {
    "train": "train a model: any data × encoder × attention, by Hydra overrides (-m sweeps)",
    "resume": "go on with a run that was stopped",
    "evaluate": "make the test metrics of a finished run again",
    "predict": "forecast for a new file with a finished run",
    "runs": "list and rank the runs",
    "dashboard": "show the runs in the browser: compare them, look at attention and predictions",
    "compare": "which group of runs is best, by how much, and is it more than luck?",
    "table": "a table for a paper: LaTeX, Markdown or CSV, with ties by test",
    "sync": "upload the runs that Weights & Biases kept offline",
    "study": "make the tables of docs/results: rivals, learning rates, seeds; resumable",
    "options": "print every choice with the paper behind it; --matrix: which go together",
}
DONE, BUG, REFUSED = 0, 1, 2


def main(arguments: list[str] | None = None) -> None:
    """Runs a command and ends the process: 0 done, 2 the input was refused, 1 anything else."""
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Runs a command; errors become one sentence on standard error (a traceback with ATTNLAB_DEBUG=1)."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_help())
        return DONE
    if arguments[0] in ("-V", "--version"):
        print(f"attnlab {__version__}")
        return DONE
    command, *rest = arguments
    try:
        if command not in COMMANDS:
            raise UserError(f"attnlab {command} is not a command; {near_miss(command, COMMANDS)}")
        status: int | None = import_module(f"attnlab.commands.{command}").main(rest)
        return status or DONE
    except KeyboardInterrupt:
        print("\nattnlab: stopped", file=sys.stderr)
        return BUG
    except BrokenPipeError:  # `attnlab runs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        return report(error)


def report(error: Exception) -> int:
    """Says what went wrong in one sentence, and returns the exit status that goes with it."""
    if os.environ.get("ATTNLAB_DEBUG") == "1":
        traceback.print_exception(error)
    refusal = find_refusal(error)
    if refusal is not None:
        print(f"attnlab: {refusal}", file=sys.stderr)
        return REFUSED
    print(
        f"attnlab: {type(error).__name__}: {error}\n"
        "(ATTNLAB_DEBUG=1 shows where; this is a fault of attnlab, not of your input)",
        file=sys.stderr,
    )
    return BUG


def _help() -> str:
    lines = ["attnlab: which attention, on which encoder, for my sequence?", "", "usage: attnlab COMMAND ...", ""]
    lines += [f"  {name:<10}{text}" for name, text in COMMANDS.items()]
    return "\n".join([*lines, "", "attnlab COMMAND --help says more. ATTNLAB_DEBUG=1 shows tracebacks."])
