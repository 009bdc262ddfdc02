"""Recurrent cells in plain floats, from their equations: the independent side of the comparisons."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

Row = list[float]
Weights = dict[str, list]
PlainCell = Callable[[Weights, Row, Row, Row], tuple[Row, Row]]


def affine(weight: list[Row], vector: Row, bias: Row) -> Row:
    return [sum(w * x for w, x in zip(row, vector, strict=True)) + b for row, b in zip(weight, bias, strict=True)]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def gates(weights: Weights, x: Row, hidden: Row) -> tuple[list[Row], list[Row]]:
    """W x + b and U h + b', cut into one row per gate."""
    width = len(hidden)
    from_input = affine(weights["weight_ih"], x, weights["bias_ih"])
    from_state = affine(weights["weight_hh"], hidden, weights["bias_hh"])
    starts = range(0, len(from_input), width)
    return [from_input[i : i + width] for i in starts], [from_state[i : i + width] for i in starts]


def rnn(weights: Weights, x: Row, hidden: Row, cell_state: Row) -> tuple[Row, Row]:
    """h' = tanh(W x + b + U h + b')."""
    (a,), (b,) = gates(weights, x, hidden)
    return [math.tanh(a[n] + b[n]) for n in range(len(hidden))], cell_state


def gru(weights: Weights, x: Row, hidden: Row, cell_state: Row) -> tuple[Row, Row]:
    """r, z = σ(…), n = tanh(W x + b + r (U h + b')), h' = (1 - z) n + z h."""
    (r, z, n), (r_state, z_state, n_state) = gates(weights, x, hidden)
    new = []
    for i, before in enumerate(hidden):
        reset, update = sigmoid(r[i] + r_state[i]), sigmoid(z[i] + z_state[i])
        new.append((1 - update) * math.tanh(n[i] + reset * n_state[i]) + update * before)
    return new, cell_state


def lstm(weights: Weights, x: Row, hidden: Row, cell_state: Row) -> tuple[Row, Row]:
    """i, f, o = σ(…), g = tanh(…), c' = f c + i g, h' = o tanh(c')."""
    from_input, from_state = gates(weights, x, hidden)
    new, new_cell = [], []
    for n, before in enumerate(cell_state):
        i, f, g, o = (a[n] + b[n] for a, b in zip(from_input, from_state, strict=True))
        new_cell.append(sigmoid(f) * before + sigmoid(i) * math.tanh(g))
        new.append(sigmoid(o) * math.tanh(new_cell[-1]))
    return new, new_cell


@pytest.fixture
def plain_cells() -> dict[str, PlainCell]:
    """Name → (weights, input, state, cell state) → (state, cell state); rnn and gru leave the cell state alone."""
    return {"rnn": rnn, "gru": gru, "lstm": lstm}
