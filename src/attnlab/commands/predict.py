"""attnlab predict RUN --input FILE --output FILE: a forecast for a file that the model never saw."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

from attnlab.errors import UserError
from attnlab.runs.store import find_run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab predict",
        description="Forecast the rows that follow a CSV file with the columns the run was trained on.",
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run record")
    parser.add_argument("--input", required=True, metavar="FILE", help="CSV file; its last rows are the look-back")
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="CSV file to write: time, and each target in its own unit"
    )
    options = parser.parse_args(arguments)
    find_run(options.run)
    output = Path(options.output)
    if not output.absolute().parent.is_dir():
        raise UserError(f"--output {output}: there is no folder {output.parent}; make it first")

    from pyarrow import csv

    from attnlab.training.console import quiet_libraries
    from attnlab.training.predictor import load

    quiet_libraries()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.filterwarnings("always", message="column .*", category=UserWarning)
        forecast = load(options.run).predict(options.input)
    for warning in caught:
        print(f"attnlab: {warning.message}", file=sys.stderr)
    temporary = output.with_name(f".{output.name}.part")
    csv.write_csv(forecast, temporary)
    temporary.replace(output)
    first, last = forecast["time"][0], forecast["time"][-1]
    print(f"{output}: {forecast.num_rows} rows, {first} to {last}, of {', '.join(forecast.column_names[1:])}")
    return 0
