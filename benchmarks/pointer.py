"""Training a pointer on known answers: 50 points, B = 128, H = 256, forward and backward of the head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import Additive
from attnlab.encoders.base import Encoded
from attnlab.heads import Pointer
from attnlab.spec import PointerSequence
from benchmarks.harness import Row, paired, peak_memory, row

BATCH, POINTS, HIDDEN = 128, 50, 256


def rows() -> list[Row]:
    recipe = partial(ScoredAttention, scorer=partial(Additive, hidden_dim=HIDDEN), normalizer=Softmax)
    head = Pointer(PointerSequence(POINTS), HIDDEN, hidden_dim=HIDDEN, attention=recipe)
    states = torch.randn(BATCH, POINTS, HIDDEN, requires_grad=True)
    encoded = Encoded(states, torch.ones(BATCH, POINTS, dtype=torch.bool), states.mean(1))
    inputs, targets = torch.zeros(BATCH, POINTS, 2), torch.stack([torch.randperm(POINTS) for _ in range(BATCH)])
    at_once = _pass(head, lambda: head(encoded, inputs, targets), targets)
    stepwise = _pass(head, lambda: step_by_step(head, encoded, targets), targets)
    torch.testing.assert_close(head(encoded, inputs, targets), step_by_step(head, encoded, targets))
    ours, theirs = peak_memory(at_once), peak_memory(stepwise)
    note = f"{ours / 2**20:.0f} MiB where the loop needs {theirs / 2**20:,.0f} ({ours / theirs:.0%}; target ≤ 40 %)"
    return [row("all steps at once", "a loop over the steps", paired(stepwise, at_once, rounds=5), "≥ 4", note)]


def step_by_step(head: Pointer, encoded: Encoded, targets: torch.Tensor) -> torch.Tensor:
    """As it is usually written: an LSTM cell, a broadcast score and a mask at every step."""
    scorer: Any = head.attention.scorer
    keys = scorer.key(encoded.states)
    hidden, cell = (part[0] for part in head._initial_state(encoded))
    lstm: Any = head.decoder
    fed, free = head.start.expand(len(targets), -1), encoded.mask
    steps = []
    for step in range(targets.shape[1]):
        hidden, cell = torch.lstm_cell(
            fed, (hidden, cell), lstm.weight_ih_l0, lstm.weight_hh_l0, lstm.bias_ih_l0, lstm.bias_hh_l0
        )
        scores = torch.tanh(scorer.query(hidden)[:, None] + keys) @ scorer.energy
        steps.append(scores.masked_fill(~free, float("-inf")))
        choice = targets[:, step, None]
        fed = encoded.states.gather(1, choice[..., None].expand(-1, -1, encoded.states.shape[-1])).squeeze(1)
        free = free.scatter(1, choice, False)
    return torch.stack(steps, dim=1)


def _pass(head: Pointer, forward: Callable[[], torch.Tensor], targets: torch.Tensor) -> Callable[[], None]:
    def once() -> None:
        logits = forward()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        torch.autograd.grad(loss, list(head.parameters()))

    return once
