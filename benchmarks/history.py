"""The history RNN beside the fused layer of torch without a history: B = 64, H = 128, input 64, both passes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import Additive, Cosine, DotMean
from attnlab.encoders import HistoryRNN
from attnlab.spec import DataSpec, Number, Series
from benchmarks.harness import Row, paired, peak_memory, row

BATCH, INPUT, HIDDEN = 64, 64, 128
FUSED: dict[str, Callable[..., nn.RNNBase]] = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}


def rows() -> list[Row]:
    found = []
    for cell, score in (("lstm", "dot_mean"), ("gru", "dot_mean"), ("rnn", "dot_mean"), ("lstm", "additive")):
        encoder, plain = _encoder(cell, score), FUSED[cell](INPUT, HIDDEN, batch_first=True)
        inputs = torch.randn(BATCH, 256, INPUT)
        pair = paired(_pass_of_layer(plain, inputs), _pass(encoder, inputs), rounds=7, inverse=True)
        target = "≤ 3" if score == "dot_mean" else ""
        found.append(row(f"{cell}, {score}, T = 256", f"nn.{cell.upper()}", pair, target))
    inputs = torch.randn(BATCH, 256, INPUT)
    for score in ("dot_mean", "additive"):
        stepwise: Any = _encoder("lstm", score)
        at_once = _encoder("lstm", score)
        stepwise.attention.scorer.kernel = "reference"
        pair = paired(_pass(stepwise, inputs), _pass(at_once, inputs), rounds=3)
        found.append(row(f"lstm, {score}, T = 256", "the same, step by step", pair))
    fused, generic = _pass(_encoder("lstm", "dot_mean"), inputs), _pass(_encoder("lstm", "cosine"), inputs)
    pair = paired(fused, generic, rounds=3, inverse=True)
    found.append(row("lstm, cosine (not compiled), T = 256", "dot_mean, compiled", pair, "≤ 2"))
    inputs = torch.randn(BATCH, 1024, INPUT)
    memory = peak_memory(_pass(_encoder("lstm", "dot_mean"), inputs))
    pairs = BATCH * 1024**2 * 4
    note = (
        f"{memory / 2**20:,.0f} MiB, of which the weights are {pairs / 2**20:,.0f}; "
        f"a state for each pair would be {pairs * HIDDEN / 2**20:,.0f}"
    )
    layer = nn.LSTM(INPUT, HIDDEN, batch_first=True)
    pair = paired(_pass_of_layer(layer, inputs), _pass(_encoder("lstm", "dot_mean"), inputs), rounds=3, inverse=True)
    found.append(row("lstm, dot_mean, T = 1,024", "nn.LSTM", pair, note=note))
    return found


def _encoder(cell: str, score: str) -> HistoryRNN:
    scorers: dict[str, Any] = {
        "dot_mean": DotMean,
        "additive": partial(Additive, hidden_dim=HIDDEN),
        "cosine": Cosine,
    }
    recipe = partial(ScoredAttention, scorer=scorers[score], normalizer=Softmax)
    spec = DataSpec(Series(INPUT), Number(), max_length=1024)
    return HistoryRNN(INPUT, spec, hidden_dim=HIDDEN, cell=cell, attention=recipe)


def _pass(encoder: HistoryRNN, inputs: torch.Tensor) -> Callable[[], None]:
    mask = torch.ones(inputs.shape[:2], dtype=torch.bool)

    def once() -> None:
        states = encoder(inputs, mask).states
        torch.autograd.grad(states.sum(), list(encoder.parameters()))

    return once


def _pass_of_layer(layer: nn.RNNBase, inputs: torch.Tensor) -> Callable[[], None]:
    def once() -> None:
        states, _ = layer(inputs)
        torch.autograd.grad(states.sum(), list(layer.parameters()))

    return once
