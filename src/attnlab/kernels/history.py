"""A whole history RNN in one call, forward and backward through time, on the CPU in float32."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from attnlab.kernels.build import kernels, parallel, pointer

ROWS, PANEL, LANES = 8, 32, 16  # as in history.c
CELLS = {"rnn": (0, 1), "gru": (1, 3), "lstm": (2, 4)}  # number and gates


@dataclass(frozen=True)
class HistoryScore:
    """How a state is scored against an earlier one, q and k being the states themselves or linear maps of them.

    scale · q·k, or, where there is an energy, energy · tanh(q + k).
    """

    scale: float = 1.0
    to_query: Float[Tensor, "score_dim hidden"] | None = None
    to_key: Float[Tensor, "score_dim hidden"] | None = None
    key_bias: Float[Tensor, " score_dim"] | None = None
    energy: Float[Tensor, " score_dim"] | None = None


def history_rnn(
    inputs: Float[Tensor, "batch time input_dim"],
    lengths: Int[Tensor, " batch"],
    cell: str,
    weight_ih: Float[Tensor, "gates input_and_context_dim"],
    weight_hh: Float[Tensor, "gates hidden"],
    bias_ih: Float[Tensor, " gates"],
    bias_hh: Float[Tensor, " gates"],
    score: HistoryScore,
    window: int | None,
) -> tuple[Float[Tensor, "batch time hidden"], Float[Tensor, "batch time hidden"]]:
    """States and contexts: what encoder=history_rnn makes step by step, with a softmax over one head.

    Args:
        weight_ih, weight_hh, bias_ih, bias_hh: of torch's cell of that name, whose input is [x_t ; c_t].
        lengths: steps at or behind them look back at nothing that lies behind.
        window: how many of the latest states may be looked at; None: all.
    """
    states, contexts = _HistoryRNN.apply(
        inputs,
        weight_ih,
        weight_hh,
        bias_ih,
        bias_hh,
        score.to_query,
        score.to_key,
        score.key_bias,
        score.energy,
        (cell, lengths, score.scale, window),
    )
    return states, contexts


class _Arguments(ctypes.Structure):
    """The struct History of history.c, field by field."""

    _fields_: ClassVar = [
        *((name, ctypes.c_long) for name in ("batch", "time", "hidden", "cell", "window", "additive", "projected")),
        *((name, ctypes.c_long) for name in ("query_at", "key_at", "score_dim", "weights_stride")),
        ("scale", ctypes.c_float),
        *((name, ctypes.c_void_p) for name in ("lengths", "context_to_gates", "state_to_gates", "state_to_scores")),
        *((name, ctypes.c_void_p) for name in ("gates_to_context", "gates_to_state", "scores_to_state")),
        *((name, ctypes.c_void_p) for name in ("state_bias", "score_bias", "energy", "gates", "recalled")),
        *((name, ctypes.c_void_p) for name in ("states", "cells", "contexts", "scored", "weights")),
        *((name, ctypes.c_void_p) for name in ("of_states", "of_contexts", "of_gates", "of_recalled")),
        *((name, ctypes.c_void_p) for name in ("of_scored", "of_energy")),
    ]


class _HistoryRNN(torch.autograd.Function):
    """Widths are filled up with zeros to whole panels; what is zero there stays zero, states and gradients alike."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Tensor,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor,
        bias_hh: Tensor,
        to_query: Tensor | None,
        to_key: Tensor | None,
        key_bias: Tensor | None,
        energy: Tensor | None,
        options: tuple[str, Tensor, float, int | None],
    ) -> tuple[Tensor, Tensor]:
        cell, lengths, scale, window = options
        number, num_gates = CELLS[cell]
        batch, time, input_dim = inputs.shape
        narrow = weight_hh.shape[1]
        hidden = _whole(narrow)
        from_input = _fill_gates(weight_ih[:, :input_dim], num_gates, hidden)
        from_context = _fill(_fill_gates(weight_ih[:, input_dim:], num_gates, hidden), hidden)
        from_state = _fill(_fill_gates(weight_hh, num_gates, hidden), hidden)
        bias = _fill_gates(bias_ih[:, None], num_gates, hidden)[:, 0]
        own_bias = _fill_gates(bias_hh[:, None], num_gates, hidden)[:, 0]
        if cell != "gru":
            bias = bias + own_bias
        maps = [weight for weight in (to_query, to_key) if weight is not None]
        score_dim = _whole(maps[0].shape[0]) if maps else hidden
        to_scores = torch.cat([_fill(_fill(weight.mT, score_dim).mT, hidden) for weight in maps]) if maps else None
        score_bias = None
        if to_scores is not None:
            score_bias = inputs.new_zeros(len(to_scores))
            if key_bias is not None:
                score_bias[-score_dim : -score_dim + len(key_bias) or None] = key_bias
        energy = None if energy is None else _fill(energy, score_dim)

        gates = torch.addmm(bias, inputs.flatten(0, 1), from_input.mT).view(batch, time, len(bias))
        states = inputs.new_zeros(batch, time + 1, hidden)
        tensors = {
            "lengths": lengths.contiguous(),
            "context_to_gates": _pack(from_context.mT),
            "state_to_gates": _pack(from_state.mT),
            "state_to_scores": None if to_scores is None else _pack(to_scores.mT),
            "state_bias": own_bias.contiguous(),
            "score_bias": score_bias,
            "energy": energy,
            "gates": gates,
            "recalled": torch.empty_like(gates) if cell == "gru" else None,
            "states": states,
            "cells": torch.zeros_like(states) if cell == "lstm" else states,
            "contexts": inputs.new_zeros(batch, time, hidden),
            "scored": None if to_scores is None else inputs.new_empty(batch, time, len(to_scores)),
            "weights": inputs.new_empty(batch, time, max(time, 1)),
        }
        sizes = {
            "batch": batch,
            "time": time,
            "hidden": hidden,
            "cell": number,
            "window": window or 0,
            "additive": energy is not None,
            "projected": 0 if to_scores is None else len(to_scores),
            "query_at": -1 if to_query is None else 0,
            "key_at": -1 if to_key is None else (0 if to_query is None else score_dim),
            "score_dim": score_dim,
            "weights_stride": max(time, 1),
            "scale": scale,
        }
        _call(kernels().history_forward, sizes, tensors)
        ctx.sizes, ctx.names, ctx.widths = sizes, list(tensors), (num_gates, narrow, [len(m) for m in maps])
        ctx.has = (to_query is not None, to_key is not None, key_bias is not None)
        ctx.save_for_backward(inputs, from_input, from_context, from_state, to_scores, *tensors.values())
        contexts = tensors["contexts"]
        assert contexts is not None
        # Copies: gradients are taken from what was saved, which nobody else may change.
        return states[:, 1:, :narrow].contiguous(), contexts[..., :narrow].contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        inputs, from_input, from_context, from_state, to_scores, *rest = ctx.saved_tensors
        tensors = dict(zip(ctx.names, rest, strict=True))
        num_gates, narrow, score_dims = ctx.widths
        hidden, score_dim = ctx.sizes["hidden"], ctx.sizes["score_dim"]
        scored, gates = tensors["scored"], tensors["gates"]
        of_gates = torch.empty_like(gates)
        tensors |= {
            "gates_to_context": _pack(from_context),
            "gates_to_state": _pack(from_state),
            "scores_to_state": None if to_scores is None else _pack(to_scores),
            "of_states": F.pad(gradients[0], (0, hidden - narrow, 1, 0)),
            "of_contexts": _fill(gradients[1], hidden).clone(memory_format=torch.contiguous_format),
            "of_gates": of_gates,
            "of_recalled": torch.empty_like(gates) if tensors["recalled"] is not None else None,
            "of_scored": None if scored is None else torch.zeros_like(scored),
            "of_energy": inputs.new_zeros(len(inputs), score_dim),
        }
        _call(kernels().history_backward, ctx.sizes, tensors)

        of_own = of_gates if tensors["of_recalled"] is None else tensors["of_recalled"]
        flat, own, states = of_gates.flatten(0, 1), of_own.flatten(0, 1), tensors["states"]
        of_inputs = (flat @ from_input).view_as(inputs) if ctx.needs_input_grad[0] else None
        of_context = flat.mT @ tensors["contexts"].flatten(0, 1)
        of_ih = torch.cat([_narrow_gates(flat.mT @ inputs.flatten(0, 1), num_gates, narrow),
                           _narrow_gates(of_context[:, :narrow], num_gates, narrow)], dim=1)  # fmt: skip
        of_hh = _narrow_gates((own.mT @ states[:, :-1].flatten(0, 1))[:, :narrow], num_gates, narrow)
        of_bias_ih = _narrow_gates(flat.sum(0)[:, None], num_gates, narrow)[:, 0]
        of_bias_hh = _narrow_gates(own.sum(0)[:, None], num_gates, narrow)[:, 0]
        has_query, has_key, has_bias = ctx.has
        of_maps: list[Tensor | None] = []
        of_key_bias = of_energy = None
        if scored is not None:
            of_scored = tensors["of_scored"].flatten(0, 1)
            parts = (of_scored.mT @ states[:, 1:].flatten(0, 1))[:, :narrow].split(score_dim)
            of_maps = [part[:width] for part, width in zip(parts, score_dims, strict=True)]
            if has_bias:
                of_key_bias = of_scored[:, -score_dim:].sum(0)[: score_dims[-1]]
        if tensors["energy"] is not None:
            of_energy = tensors["of_energy"].sum(0)[: score_dims[-1]]
        of_query = of_maps.pop(0) if has_query else None
        of_key = of_maps.pop(0) if has_key else None
        return of_inputs, of_ih, of_hh, of_bias_ih, of_bias_hh, of_query, of_key, of_key_bias, of_energy, None


def _call(function: Any, sizes: dict[str, Any], tensors: dict[str, Tensor | None]) -> None:
    arguments = _Arguments(**sizes, **{name: pointer(tensor) for name, tensor in tensors.items()})
    groups = -(-sizes["batch"] // ROWS)
    parallel(function, groups, sizes["batch"] * sizes["time"] * sizes["hidden"] ** 2, ctypes.byref(arguments))


def _whole(width: int) -> int:
    return -(-width // PANEL) * PANEL


def _fill(tensor: Tensor, width: int) -> Tensor:
    """With zeros behind its last axis."""
    return F.pad(tensor, (0, width - tensor.shape[-1])) if width > tensor.shape[-1] else tensor


def _fill_gates(weight: Tensor, num_gates: int, hidden: int) -> Tensor:
    """[gates · H, in] with each gate filled up to `hidden` rows."""
    return _fill(weight.view(num_gates, -1, weight.shape[1]).mT, hidden).mT.reshape(num_gates * hidden, -1)


def _narrow_gates(weight: Tensor, num_gates: int, narrow: int) -> Tensor:
    return weight.view(num_gates, -1, weight.shape[1])[:, :narrow].reshape(num_gates * narrow, -1)


def _pack(weight: Float[Tensor, "in_dim out_dim"]) -> Float[Tensor, "panels in_dim panel"]:
    """The columns of a panel side by side, as history.c reads them; both dims are whole panels already."""
    return weight.reshape(weight.shape[0], -1, PANEL).transpose(0, 1).contiguous()
