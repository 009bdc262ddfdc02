"""A training beside an open dashboard: steps of an LSTM (T = 50, B = 32, H = 64) on one thread."""

from __future__ import annotations

import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from attnlab.runs.logger import RunStoreLogger
from attnlab.runs.record import SCHEMA, RunRecord
from benchmarks.harness import Pair, Row, milliseconds, row

BATCH, LENGTH, HIDDEN = 32, 50, 64
LOGGED = 20  # a line of the record every so many steps, as in training
FINISHED = (100, 1_000)  # other runs that the dashboard shows
ROUNDS = 21
BLOCK = 2.2  # seconds with or without the page, by turns; a page asks every 2 s
#: What the open pages Runs and Compare ask, and how often; both at once is more than one browser window asks.
PAGE = """
import json, sys, time, urllib.error, urllib.request
address, tag, since = sys.argv[1], "", ""

def ask(path, tag=""):
    request = urllib.request.Request(f"{address}/api/{path}", headers={"If-None-Match": tag})
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer), answer.headers["ETag"]
    except urllib.error.HTTPError as error:
        assert error.code == 304
        return None, tag

while True:
    found, version = ask(f"runs?since={since}", f'"{since}"')
    since = version.strip('"')
    curves, tag = ask("curves?metric=val/mae", tag)
    if curves:
        ask("compare")
    time.sleep(2)
"""


def rows() -> list[Row]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    timed = [_beside(count) for count in FINISHED]
    torch.set_num_threads(threads)
    return timed


def _beside(count: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        for number in range(count):
            _finished(runs / f"run_{number:04d}")
        step = _training(_begun(runs / "fresh"))
        with _dashboard(runs) as (address, server), _page(address) as page:
            _settle(server)
            pair, share = _by_turns(step, page, server)
    note = f"the dashboard takes {share:.1%} of one core"
    return row(f"a step while Runs and Compare of {count:,} runs are open", "no page is open", pair, "≤ 1.01", note)


def _by_turns(step: Callable[[], object], page: int, server: int) -> tuple[Pair, float]:
    """Steps while the page is stopped and while it asks, and the server's share of a core in the latter."""
    quiet, watched, ratios, cpu = [], [], [], 0.0
    for _ in range(ROUNDS):
        os.kill(page, signal.SIGSTOP)
        quiet.append(_mean(step))
        os.kill(page, signal.SIGCONT)
        before = _cpu_seconds(server)
        watched.append(_mean(step))
        cpu += _cpu_seconds(server) - before
        ratios.append(watched[-1] / quiet[-1])
    low, middle, high = statistics.quantiles(ratios, n=4)
    return Pair(statistics.median(quiet), statistics.median(watched), middle, low, high), cpu / (ROUNDS * BLOCK)


def _mean(step: Callable[[], object]) -> float:
    ends = time.monotonic() + BLOCK
    times = []
    while time.monotonic() < ends:
        times.append(milliseconds(step))
    return statistics.fmean(times)  # the mean: a median would hide a pause now and then


def _settle(server: int) -> None:
    """Until it has read everything once, and has nothing left to prepare."""
    while True:
        before = _cpu_seconds(server)
        time.sleep(3)
        if _cpu_seconds(server) - before < 0.1:
            return


def _training(record: RunRecord) -> Callable[[], object]:
    """A step, and now and then the line that it leaves in the record."""
    torch.manual_seed(0)
    model = torch.nn.LSTM(32, HIDDEN, batch_first=True)
    optimizer = torch.optim.AdamW(model.parameters())
    inputs = torch.randn(BATCH, LENGTH, 32)
    logger = RunStoreLogger(record)
    count = 0

    def step() -> None:
        nonlocal count
        optimizer.zero_grad()
        model(inputs)[0].square().mean().backward()
        optimizer.step()
        count += 1
        if count % LOGGED == 0:
            logger.log_metrics({"epoch": 0, "train/loss": 0.5, "val/mae": 0.5}, count)

    return step


def _begun(folder: Path) -> RunRecord:
    choices = {"data": "table", "encoder": "lstm", "attention": "none"}
    return RunRecord.create(folder, config_yaml="dim: 128\n", overrides=[], choices=choices, seed=1)


def _finished(folder: Path) -> None:
    folder.mkdir()
    meta = {
        "schema": SCHEMA,
        "status": "finished",
        "choices": {"data": "table", "encoder": "lstm"},
        "seed": 1,
        "key_metric": "mae",
    }
    (folder / "meta.json").write_text(json.dumps(meta))
    (folder / "config.yaml").write_text("dim: 128\ntrainer:\n  max_steps: 100\n")
    (folder / "metrics.jsonl").write_text('{"step": 1, "epoch": 0, "time": 1.0, "val/mae": 0.5}\n')
    (folder / "summary.json").write_text('{"test/mae": 0.5, "train_seconds": 1.0}')


@contextmanager
def _dashboard(runs: Path) -> Iterator[tuple[str, int]]:
    program = Path(sys.executable).with_name("attnlab")
    words = [str(program), "dashboard", f"run_dir={runs}", "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
        assert found
        try:
            yield found[0], process.pid
        finally:
            process.terminate()


@contextmanager
def _page(address: str) -> Iterator[int]:
    with subprocess.Popen([sys.executable, "-c", PAGE, address]) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")
