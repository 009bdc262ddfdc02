"""A few fixed examples of a split, and what there is to say of them to people, so that a record explains itself."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from attnlab.batch import Batch
from attnlab.data.base import DataModule, Split
from attnlab.data.forecasting import Forecasting


def example_indices(data: DataModule, split: Split, count: int) -> list[int]:
    """The numbers of examples spread evenly over a split, the same ones each time."""
    size = len(data.source(split))
    return [int(index) for index in np.unique(np.linspace(0, size - 1, min(count, size)).round())]


def examples(data: DataModule, split: Split, count: int) -> Batch:
    """Those examples, as a batch."""
    return data.source(split)[np.array(example_indices(data, split, count))]


def input_descriptions(data: DataModule, split: Split, indices: Sequence[int]) -> list[dict[str, Any]]:
    """What each example reads, and the question that comes with it, if any."""
    return [
        {
            "index": index,
            "inputs": data.input_labels(split, index),
            "question": data.question_label(split, index),
        }
        for index in indices
    ]


def answer_descriptions(data: DataModule, split: Split, indices: Sequence[int], answers: Tensor) -> list[list[str]]:
    """What each answer says at its steps."""
    answers = answers.cpu()
    return [data.answer_labels(split, index, answer) for index, answer in zip(indices, answers, strict=True)]


@torch.no_grad()
def scores(data: DataModule, batch: Batch, answers: Tensor) -> list[dict[str, float | None]]:
    """The metrics of each example by itself; None where nothing of it could be judged. Of its parts only the whole."""
    judged = []
    for index in range(batch.num_examples):
        alone = slice(index, index + 1)
        metric = data.metric()
        metric.update(answers[alone], batch.each(operator.itemgetter(alone)))
        found = {name: float(value) for name, value in metric.compute().items() if "/" not in name}
        judged.append({name: value if math.isfinite(value) else None for name, value in found.items()})
    return judged


def described_predictions(
    data: DataModule, split: Split, indices: Sequence[int], batch: Batch, answers: Tensor
) -> dict[str, Any]:
    """All that is needed to show answers beside their targets: kinds, names, and how good each answer is."""
    inputs = input_descriptions(data, split, indices)
    said = answer_descriptions(data, split, indices, answers)
    asked = answer_descriptions(data, split, indices, batch.targets)
    judged = scores(data, batch, answers)
    read, answered = kinds(data)
    return {
        "split": split,
        "input": read,
        "output": answered,
        "key_metric": data.key_metric,
        "key_mode": data.key_mode,
        "draws": data.draws,
        "first_items": data.first_items,
        "variables": _variables(data),
        "examples": [
            {**example, "said": words, "asked": right, "scores": score}
            for example, words, right, score in zip(inputs, said, asked, judged, strict=True)
        ],
    }


def kinds(data: DataModule) -> tuple[str, str]:
    """What is read and what is answered: tokens, step labels."""
    read, answered = data.spec.kinds.split(" → ")
    return read.removesuffix(" and a question"), answered


def _variables(data: DataModule) -> list[dict[str, Any]]:
    """The variables that are forecast, each with what a scaled value is in its own unit: value · scale + mean."""
    if not isinstance(data, Forecasting):
        return []
    schema = data.schema
    fitted = zip(schema.targets, schema.mean, schema.scale, strict=False)  # the targets are the first
    return [{"name": name, "mean": mean, "scale": scale} for name, mean, scale in fitted]
