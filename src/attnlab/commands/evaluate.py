"""attnlab evaluate RUN: the test metrics again, from the record."""

from __future__ import annotations

import argparse
import json

from attnlab.runs.store import find_run, read_run


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab evaluate", description="Make the test metrics of a finished run again, from its best checkpoint."
    )
    parser.add_argument("run", metavar="RUN", help="folder of the run record")
    parser.add_argument("--json", action="store_true", help="print one JSON document and nothing else")
    options = parser.parse_args(arguments)
    path = find_run(options.run)

    from attnlab.training.run import evaluate

    metrics, record, data = evaluate(path)
    recorded = {key: value for key, value in read_run(path).summary.items() if key.startswith("test/")}
    same = metrics == recorded
    if options.json:
        print(json.dumps({"run_id": record.run_id, "metrics": metrics, "recorded": recorded, "same": same}, indent=2))
        return 0

    from attnlab.training.console import console
    from attnlab.training.report import results_table

    baselines = {key: value for key, value in read_run(path).summary.items() if key.startswith("baseline/")}
    console().print(results_table({**metrics, **baselines}, data, record))
    if same:
        console().print("equal to what training recorded, to the last digit")
    elif not recorded:
        console().print("training recorded no test metrics to compare with")
    else:
        worst = max(recorded, key=lambda key: abs(metrics.get(key, 0.0) - recorded[key]))
        console().print(
            f"differs from what training recorded, most in {worst}: {recorded[worst]} then, {metrics.get(worst)} now; "
            "another machine or another number of threads rounds differently"
        )
    return 0
