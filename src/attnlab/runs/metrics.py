"""Which metric a run is judged by, and which way is better. No torch here."""

from __future__ import annotations

from typing import Literal

from attnlab.errors import UserError
from attnlab.runs.store import RunSummary

Mode = Literal["min", "max"]
MORE_IS_BETTER = frozenset({"accuracy", "exact_match", "solved", "area_coverage", "triangle_coverage"})
LESS_IS_BETTER = frozenset(
    {"mae", "mae_raw", "mse", "rmse", "loss", "gap", "tour_length", "invalid"}
    | {"num_parameters", "train_seconds", "cpu_seconds", "peak_memory_bytes", "steps"}
)


def key_metric(run: RunSummary) -> str | None:
    """The test metric that the data are judged by, such as test/mae; None where the run has no number."""
    # Records from before meta.json named it: the only validation metric of the summary is the key metric.
    known = [name.removeprefix("val/") for name in run.summary if name.startswith("val/")]
    name = run.meta.get("key_metric") or (known[0] if len(known) == 1 else None)
    return None if name is None else f"test/{name}"


def best_end(metric: str, run: RunSummary) -> Mode:
    """Whether the smallest or the largest value of a metric is best: as the run's data say, or by its name.

    Raises:
        UserError: neither tells.
    """
    said = run.meta.get("key_mode")
    if said in ("min", "max") and metric.rpartition("/")[2] == run.meta.get("key_metric"):
        return "min" if said == "min" else "max"
    for word in metric.split("/"):  # the last word of test/mae_raw/accuracy would be a variable's name
        if word in MORE_IS_BETTER:
            return "max"
        if word in LESS_IS_BETTER:
            return "min"
    raise UserError(f"nothing says whether more or less of {metric} is better; say --best max or --best min")
