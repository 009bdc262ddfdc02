"""attnlab table: the results of runs as a table for a paper."""

from __future__ import annotations

import argparse
import sys

from attnlab.commands.selection import add_options, arrangement
from attnlab.errors import UserError


def main(arguments: list[str]) -> int:
    from attnlab.comparison.tables import FORMATS, paper_table

    parser = argparse.ArgumentParser(
        "attnlab table",
        description="Print a table of finished runs: means over seeds with intervals, the best of each column in bold, "
        "and with it all that a test does not tell from it.",
    )
    add_options(parser)
    parser.add_argument("--rows", default="encoder", metavar="KEYS", help="choices or config keys of a row (encoder)")
    parser.add_argument("--cols", default="data", metavar="KEYS", help="choices or config keys of a column (data)")
    parser.add_argument(
        "--format", choices=tuple(FORMATS), default="markdown", help="latex, markdown or csv (markdown)"
    )
    parser.add_argument("--caption", help="above the table; csv has none")
    options = parser.parse_intermixed_args(arguments)
    if options.caption and options.format == "csv":
        raise UserError("--caption would have no effect with --format csv; leave it out")
    arranged = arrangement("table", options, by=options.rows, over=options.cols)
    print(FORMATS[options.format](paper_table(arranged), options.caption), end="")
    for remark in arranged.remarks:  # not in the table, which somebody may be writing to a file
        print(f"note: {remark}", file=sys.stderr)
    return 0
