from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax, Sparsemax
from attnlab.attention.position import ALiBi
from attnlab.attention.recorder import record_attention
from attnlab.attention.scorers import Additive, Bilinear, Cosine, Dot, DotMean, ScaledDot
from attnlab.attention.window import Local
from attnlab.encoders import HistoryRNN, history
from attnlab.spec import DataSpec, Number, Series

SPEC = DataSpec(Series(5), Number(), max_length=41)
SCORERS: dict[str, Any] = {
    "dot": Dot,
    "dot_mean": DotMean,
    "scaled_dot": ScaledDot,
    "bilinear": Bilinear,
    "additive": partial(Additive, hidden_dim=11),
}


def encoder_of(
    cell: str, scorer: Any, hidden_dim: int = 19, temperature: float = 1.0, window: int | None = None, **options: Any
) -> HistoryRNN:
    normalizer = partial(Softmax, temperature=temperature)
    recipe = partial(ScoredAttention, **{"scorer": scorer, "normalizer": normalizer} | options)
    encoder = HistoryRNN(5, SPEC, hidden_dim=hidden_dim, cell=cell, window=window, join_state=True, attention=recipe)
    with torch.no_grad():  # so that the weights of the history differ, and errors do not grow from step to step
        for parameter in encoder.parameters():
            parameter.mul_(1.5)
    return encoder


def masks(batch: int, time: int) -> Tensor:
    """Of all lengths from none to all."""
    return torch.arange(time) < torch.linspace(0, time, batch).long()[:, None]


def in_double_precision(encoder: HistoryRNN) -> HistoryRNN:
    return copy.deepcopy(encoder).double()  # which the compiled loop does not take


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize(("batch", "time", "hidden_dim", "window"), [(3, 7, 19, None), (17, 41, 32, 5), (9, 23, 67, 1)])
def test_states_and_gradients_are_those_of_the_plain_loop_in_double_precision(
    cell: str, scorer: str, batch: int, time: int, hidden_dim: int, window: int | None
) -> None:
    encoder = encoder_of(cell, SCORERS[scorer], hidden_dim, window=window, temperature=0.7)
    exact = in_double_precision(encoder)
    inputs = torch.randn(batch, time, 5, requires_grad=True)
    wide = inputs.detach().double().requires_grad_()
    mask = masks(batch, time)
    states, expected = encoder(inputs, mask).states, exact(wide, mask).states
    torch.testing.assert_close(states.double(), expected, atol=1e-5, rtol=0)
    direction = torch.randn_like(states)
    ours = torch.autograd.grad(states, [inputs, *encoder.parameters()], direction)
    theirs = torch.autograd.grad(expected, [wide, *exact.parameters()], direction.double())
    for (name, _), narrow, reference in zip([("inputs", 0), *encoder.named_parameters()], ours, theirs, strict=True):
        assert (narrow - reference).abs().max() <= 1e-5 * max(1, reference.abs().max()), name


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_the_number_of_threads_changes_no_digit(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, inputs = encoder_of(cell, SCORERS["additive"], 64), torch.randn(31, 29, 5)
    outcomes = []
    for num_threads in (1, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda count=num_threads: count)
        states = encoder(inputs, masks(31, 29)).states
        outcomes.append([states, *torch.autograd.grad(states.square().sum(), list(encoder.parameters()))])
    for one, three in zip(*outcomes, strict=True):
        assert torch.equal(one, three)


@pytest.mark.parametrize("time", [0, 1, 2])
def test_a_history_that_is_too_short_to_look_back_at_is_the_cell_alone(time: int) -> None:
    encoder = encoder_of("lstm", Dot)
    inputs = torch.randn(3, time, 5, requires_grad=True)
    mask = torch.ones(3, time, dtype=torch.bool)
    score = history.history_score(encoder.attention)
    assert score is not None
    states, expected = encoder._at_once(inputs, mask, score), None
    if time:
        expected = in_double_precision(encoder)(inputs.double(), mask).states
        torch.testing.assert_close(states.double(), expected, atol=1e-6, rtol=0)
    assert states.shape == (3, time, 38)
    states.sum().backward()
    assert inputs.grad is not None
    assert all(parameter.grad is not None for parameter in encoder.cell.parameters())


def test_a_second_backward_pass_gives_the_same() -> None:
    encoder, inputs = encoder_of("gru", SCORERS["additive"]), torch.randn(3, 11, 5)
    states = encoder(inputs, masks(3, 11)).states
    once = torch.autograd.grad(states.sum(), list(encoder.parameters()), retain_graph=True)
    again = torch.autograd.grad(states.sum(), list(encoder.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


def test_memory_grows_with_the_states_and_not_with_pairs_times_width(tensor_sizes: Any) -> None:
    batch, time, hidden_dim = 2, 128, 64
    encoder, inputs = encoder_of("lstm", SCORERS["additive"], hidden_dim), torch.randn(batch, time, 5)
    with tensor_sizes:
        encoder(inputs, torch.ones(batch, time, dtype=torch.bool)).states.sum().backward()
    assert tensor_sizes.largest <= batch * time * max(4 * hidden_dim, time)


# encoder.window is another thing: how far back the memory reaches.
UNFUSED: dict[str, dict[str, Any]] = {
    "nothing else": {},
    "another score": {"scorer": Cosine},
    "another normalizer": {"normalizer": Sparsemax},
    "a position": {"position": ALiBi},
    "several heads": {"num_heads": 2},
}


@pytest.mark.parametrize("options", UNFUSED.values(), ids=UNFUSED)
@pytest.mark.parametrize("local", [False, True], ids=["", "a window"])
def test_what_the_compiled_loop_does_not_know_goes_step_by_step(options: dict[str, Any], local: bool) -> None:
    encoder = encoder_of("rnn", **{"scorer": Dot, "hidden_dim": 4} | options)
    if local:
        encoder.attention.window = Local(4, radius=3)
    assert (history.history_score(encoder.attention) is None) == bool(options or local)
    inputs, mask = torch.randn(3, 7, 5), masks(3, 7)
    expected = in_double_precision(encoder)(inputs.double(), mask).states
    torch.testing.assert_close(encoder(inputs, mask).states.double(), expected, atol=1e-5, rtol=0)


def test_a_mask_with_holes_goes_step_by_step() -> None:
    encoder, inputs = encoder_of("rnn", Dot), torch.randn(1, 7, 5)
    mask = torch.tensor([[True, True, False, True, True, False, True]])
    expected = in_double_precision(encoder)(inputs.double(), mask).states
    torch.testing.assert_close(encoder(inputs, mask).states.double(), expected, atol=1e-5, rtol=0)


def test_whoever_watches_the_weights_sees_them() -> None:
    encoder, inputs = encoder_of("gru", Dot), torch.randn(2, 7, 5)
    mask = masks(2, 7)
    unseen = encoder(inputs, mask).states
    with record_attention(encoder) as recorded:
        seen = encoder(inputs, mask).states
    assert len(recorded["attention"]) == 5 or len(recorded["attention"]) == 6
    torch.testing.assert_close(seen, unseen, atol=1e-6, rtol=0)


def test_the_kernel_that_is_asked_for_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder, inputs = encoder_of("gru", Dot), torch.randn(2, 7, 5)
    called: list[int] = []
    whole = history.history_rnn
    monkeypatch.setattr(history, "history_rnn", lambda *args: called.append(1) or whole(*args))
    fused = encoder(inputs, masks(2, 7)).states
    assert called == [1]
    encoder.attention.scorer.kernel = "reference"
    torch.testing.assert_close(encoder(inputs, masks(2, 7)).states, fused, atol=1e-6, rtol=0)
    assert called == [1]
