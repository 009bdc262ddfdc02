from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.recorder import record_attention
from attnlab.attention.scorers import ScaledDot
from attnlab.compose import build_model
from attnlab.embedders import VariableEmbedder
from attnlab.encoders import InvertedTransformer
from attnlab.errors import IncompatibleError
from attnlab.heads import Direct, PerVariable
from attnlab.model import Model
from attnlab.spec import DataSpec, Forecast, Number, Series, Tokens, TokenSequence

# Batch 3, time 7, variables 5 of which two are forecast 4 steps ahead, width 6, network width 11.
SPEC = DataSpec(Series(5), Forecast(4, (3, 0)), max_length=7)
DOT = partial(ScoredAttention, scorer=ScaledDot, normalizer=Softmax)
RECIPE = partial(InvertedTransformer, num_layers=2, feedforward_dim=11, dropout=0.0, attention=DOT)


def model(spec: DataSpec = SPEC) -> Model:
    """Weights away from their start, where every norm is the identity and could be in the wrong place."""
    built = build_model(spec, dim=6, encoder=RECIPE, head=partial(PerVariable, loss="mse")).double().eval()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return built


def affine(layer: nn.Linear, vector: Tensor) -> Tensor:
    return layer.weight @ vector + (0 if layer.bias is None else layer.bias)


def normed(layer: nn.LayerNorm, vector: Tensor) -> Tensor:
    centred = vector - vector.mean()
    return layer.weight * centred / (centred.square().mean() + layer.eps).sqrt() + layer.bias


def plain(built: Model, window: Tensor) -> Tensor:
    """The paper's equations for one window [T, N], a variable at a time: the forecast [horizon, targets]."""
    encoder = built.encoder
    states = [affine(built.embedder.linear, window[:, n]) for n in range(window.shape[1])]
    for layer in encoder.layers:
        maps = layer.attention.projections
        queries, keys, values = ([affine(part, h) for h in states] for part in (maps.query, maps.key, maps.value))
        after = []
        for n, state in enumerate(states):
            scores = torch.stack([queries[n] @ key for key in keys]) / len(state) ** 0.5
            context = sum(weight * value for weight, value in zip(scores.softmax(0), values, strict=True))
            state = normed(layer.attention_norm, state + affine(maps.output, context))
            inner = F.gelu(affine(layer.feedforward[0], state))
            after.append(normed(layer.feedforward_norm, state + affine(layer.feedforward[3], inner)))
        states = after
    states = [normed(encoder.norm, state) for state in states]
    return torch.stack([affine(built.head.projection, states[n]) for n in built.head.target_channels], dim=1)


def test_forecasts_are_those_of_the_papers_equations_a_variable_at_a_time() -> None:
    built, batch = model(), SPEC.example(3)
    inputs = batch.inputs.double()
    predictions = built(batch._replace(inputs=inputs))
    assert predictions.shape == (3, 4, 2)
    for row in range(3):
        torch.testing.assert_close(predictions[row], plain(built, inputs[row]))


def test_the_order_of_the_variables_means_nothing() -> None:
    built, batch = model(), SPEC.example(3)
    order = torch.tensor([2, 4, 0, 1, 3])
    encoded = built.encoder(built.embedder(batch.inputs), batch.input_mask)
    turned = built.encoder(built.embedder(batch.inputs[..., order]), batch.input_mask)
    torch.testing.assert_close(turned.states, encoded.states[:, order])
    torch.testing.assert_close(turned.final, encoded.final)


def test_the_weights_are_of_variables_that_look_at_variables() -> None:
    built, batch = model(), SPEC.example(3)
    with record_attention(built) as maps:
        built(batch)
    assert list(maps) == ["encoder.layers.0.attention", "encoder.layers.1.attention"]
    for (weights,) in maps.values():
        assert weights.shape == (3, 1, 5, 5)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 1, 5, dtype=torch.float64))


def test_other_heads_may_look_at_the_variables_too() -> None:
    direct = partial(Direct, hidden_dim=8, dropout=0.0, loss="mae", attention=DOT)
    built = build_model(SPEC, dim=6, encoder=RECIPE, head=direct)
    assert isinstance(built.embedder, VariableEmbedder)
    assert built(SPEC.example(3)).shape == (3, 4, 2)


@pytest.mark.parametrize(
    "spec",
    [DataSpec(Tokens(5), TokenSequence(5, 4), max_length=7), DataSpec(Series(2), Number(), max_length=7)],
    ids=["tokens", "sequences_of_any_length"],
)
def test_data_without_variables_in_windows_are_refused(spec: DataSpec) -> None:
    with pytest.raises(IncompatibleError, match="attends among variables that are seen in windows of one length"):
        model(spec)
