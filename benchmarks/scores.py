"""Additive and MLP scores without a tensor of all pairs: B = 32, Q = K = 128, D = 128, forward and backward."""

from __future__ import annotations

import torch

from attnlab.attention.scorers import MLP, Additive, Scorer
from benchmarks.harness import Row, paired, peak_memory, row

BATCH, LENGTH, DIM = 32, 128, 128


def rows() -> list[Row]:
    scorers: dict[str, Scorer] = {
        "additive": Additive(DIM, DIM, hidden_dim=DIM),
        "mlp, 1 layer": MLP(DIM, DIM, hidden_dim=DIM, num_layers=1),
        "mlp, 2 layers": MLP(DIM, DIM, hidden_dim=DIM, num_layers=2),
    }
    found = []
    for name, scorer in scorers.items():
        queries, keys = (torch.randn(BATCH, 1, LENGTH, DIM, requires_grad=True) for _ in range(2))
        fast, plain = (_pass(scorer, kernel, queries, keys) for kernel in ("auto", "reference"))
        ours, theirs = peak_memory(fast), peak_memory(plain)
        memory = f"{ours / 2**20:.0f} MiB where the broadcast needs {theirs / 2**20:,.0f} ({ours / theirs:.1%})"
        found.append(row(name, "one broadcast", paired(plain, fast, rounds=7), "≥ 5", memory))
    queries, keys = (torch.randn(2, 1, 2048, DIM, requires_grad=True) for _ in range(2))
    fast = _pass(scorers["additive"], "auto", queries, keys)
    note = f"{peak_memory(fast) / 2**20:.0f} MiB, of which the scores are 32; the broadcast would need 4,096 and more"
    found.append(Row("additive, B = 2, Q = K = 2,048", note=note))
    return found


def _pass(scorer: Scorer, kernel: str, queries: torch.Tensor, keys: torch.Tensor):  # type: ignore[no-untyped-def]
    def once() -> None:
        scorer.kernel = kernel
        scores = scorer(queries, scorer.project(keys))
        torch.autograd.grad(scores.sum(), [queries, keys, *scorer.parameters()])

    return once
