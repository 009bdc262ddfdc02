"""attnlab resume RUN: a run that was stopped goes on."""

from __future__ import annotations

import argparse

from attnlab.runs.store import find_run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab resume",
        description="Go on with a run that failed or was killed, from its last validation, in the same record. "
        "Its numbers are those of a run that was never stopped.",
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run record")
    path = find_run(parser.parse_args(arguments).run)

    from attnlab.training.resume import resume

    resume(path)
    return 0
