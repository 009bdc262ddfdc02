"""Times two ways to do the same thing, one after the other in the same run, and what memory each needs."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Pair:
    """What came of timing a plain way beside a fast one.

    Args:
        plain, fast: median milliseconds.
        ratio: median over the rounds of plain / fast, or of fast / plain where `inverse`.
        low, high: its quartiles.
    """

    plain: float
    fast: float
    ratio: float
    low: float
    high: float


def paired(
    plain: Callable[[], object],
    fast: Callable[[], object],
    *,
    rounds: int = 11,
    warm_up: int = 2,
    inverse: bool = False,
) -> Pair:
    """Runs both by turns, so that what slows the machine slows both, and takes medians.

    Args:
        inverse: whether the ratio is fast / plain: for a bound on how much slower something may be.
    """
    for _ in range(warm_up):
        plain()
        fast()
    times = [(milliseconds(plain), milliseconds(fast)) for _ in range(rounds)]
    ratios = sorted(fast / plain if inverse else plain / fast for plain, fast in times)
    low, _, high = statistics.quantiles(ratios, n=4)
    plains, fasts = zip(*times, strict=True)
    return Pair(statistics.median(plains), statistics.median(fasts), statistics.median(ratios), low, high)


def milliseconds(action: Callable[[], object]) -> float:
    """Wall time of one call, with the device's work done."""
    synchronize()
    started = time.perf_counter()
    action()
    synchronize()
    return 1000 * (time.perf_counter() - started)


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_memory(action: Callable[[], object]) -> int:
    """Bytes that a call needs on top of what is held before it, at its worst moment.

    On a GPU as torch counts them; on a CPU from the process's resident pages, after the allocator has handed back what
    it kept.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        action()
        return torch.cuda.max_memory_allocated() - before
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is held now
    before = _status("VmRSS")
    action()
    return _status("VmHWM") - before


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {field}")


def forward_backward(function: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> Callable[[], None]:
    """One forward and one backward pass with respect to all inputs that ask for a gradient."""

    def once() -> None:
        result = function(*inputs)
        torch.autograd.grad(result.sum(), [tensor for tensor in inputs if tensor.requires_grad])

    return once


@dataclass(frozen=True)
class Row:
    """A line of a table of figures. What does not apply is None.

    Args:
        name: what was timed, with its sizes.
        plain: the plain alternative, in words.
        ratio, low, high: median and quartiles of the ratio that `target` speaks of.
        target: such as "≥ 5" or "≤ 1.05".
    """

    name: str
    plain: str = ""
    plain_ms: float | None = None
    fast_ms: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    target: str = ""
    note: str = ""


def row(name: str, plain: str, pair: Pair, target: str = "", note: str = "") -> Row:
    """The line that shows a pair."""
    return Row(name, plain, pair.plain, pair.fast, pair.ratio, pair.low, pair.high, target, note)
