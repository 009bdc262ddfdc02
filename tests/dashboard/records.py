"""Records as a training leaves them, written in a moment: for what does not depend on how they came about."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import yaml

CONFIG = {
    "dim": 32,
    "encoder": {"_target_": "attnlab.encoders.GRU", "_partial_": True, "num_layers": 1},
    "data": {"_target_": "attnlab.data.Reverse", "batch_size": 16, "length": "3-6"},
    "trainer": {"max_steps": 100, "max_epochs": -1, "accumulate_grad_batches": 1},
    "optimizer": {"lr": 0.004},
}


def write_run(folder: Path, *, value: float | None = 0.5, status: str = "finished", seed: int = 1, **more: Any) -> Path:
    """A run on `reverse` that is judged by exact_match.

    Args:
        more: choices (encoder="lstm"), config keys (dim=64), parameters, seconds, curve (values of val/exact_match).
    """
    folder.mkdir(parents=True)
    choices = {"data": "reverse", "encoder": "gru", "attention": "dot"}
    choices |= {key: more.pop(key) for key in choices.keys() & more.keys()}
    parameters, seconds = more.pop("parameters", 1000), more.pop("seconds", 12.5)
    curve = more.pop("curve", [0.1, 0.3])
    meta = {
        "schema": 1,
        "run_id": folder.name,
        "status": status,
        "error": more.pop("error", None),
        "choices": choices,
        "seed": seed,
        "started": "2026-11-20T10:00:00+00:00",
        "ended": None if status == "running" else "2026-11-20T10:01:00+00:00",
        "device": "cpu (1 threads)",
        "num_parameters": parameters,
        "key_metric": "exact_match",
        "key_mode": "max",
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    (folder / "config.yaml").write_text(yaml.safe_dump({"seed": seed, "run_id": folder.name, **CONFIG, **more}))
    (folder / "metrics.jsonl").write_text("")
    for place, height in enumerate(curve):
        append_line(folder, step=10 * (place + 1) - 1, epoch=place, time=1.5 * (place + 1), exact_match=height)
    if status == "finished":
        summary = {"test/exact_match": value, "val/exact_match": value, "train_seconds": seconds}
        summary |= {"peak_memory_bytes": 600 * 2**20, "steps": 10 * len(curve), "num_parameters": parameters}
        (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "meta.json").write_text(json.dumps(meta))
    return folder


def append_line(folder: Path, *, exact_match: float, **facts: float) -> None:
    """What a validation adds to a record."""
    with open(folder / "metrics.jsonl", "a") as file:
        file.write(json.dumps({**facts, "val/exact_match": exact_match}) + "\n")


def write_many(folder: Path, count: int) -> None:
    """A large study: encoders × attentions × widths × seeds."""
    encoders, attentions = ("gru", "lstm", "transformer", "tcn"), ("dot", "additive", "none", "bilinear", "mlp")
    for number in range(count):
        encoder, attention = encoders[number % 4], attentions[number // 4 % 5]
        write_run(
            folder / f"20261120-{number:06d}_reverse_{encoder}_{attention}_s{number // 100 + 1}",
            value=(number * 7919 % count) / count,
            seed=number // 100 + 1,
            encoder=encoder,
            attention=attention,
            dim=(16, 32, 64, 128, 256)[number // 20 % 5],
            parameters=1000 + 17 * number,
            seconds=1 + number * 31 % 600,
        )
