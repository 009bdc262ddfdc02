from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import ScaledDot
from attnlab.encoders import Transformer

DIM, FEEDFORWARD, LAYERS = 12, 17, 3


def transformer(num_heads: int, dropout: float = 0.0) -> Transformer:
    recipe = partial(ScoredAttention, scorer=ScaledDot, normalizer=Softmax, num_heads=num_heads)
    return Transformer(DIM, num_layers=LAYERS, feedforward_dim=FEEDFORWARD, dropout=dropout, attention=recipe).double()


def torchs_own(encoder: Transformer, num_heads: int) -> nn.TransformerEncoder:
    """torch's pre-norm encoder, with our weights and no bias in its attention."""
    layer = nn.TransformerEncoderLayer(
        DIM, num_heads, FEEDFORWARD, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    reference = nn.TransformerEncoder(layer, LAYERS, norm=nn.LayerNorm(DIM), enable_nested_tensor=False).double()
    with torch.no_grad():
        for theirs, ours in zip(reference.layers, encoder.layers, strict=True):
            projections = ours.attention.projections
            theirs.self_attn.in_proj_weight.copy_(
                torch.cat([projections.query.weight, projections.key.weight, projections.value.weight])
            )
            theirs.self_attn.in_proj_bias.zero_()
            theirs.self_attn.out_proj.weight.copy_(projections.output.weight)
            theirs.self_attn.out_proj.bias.zero_()
            theirs.linear1.load_state_dict(ours.feedforward[0].state_dict())
            theirs.linear2.load_state_dict(ours.feedforward[3].state_dict())
            theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
            theirs.norm2.load_state_dict(ours.feedforward_norm.state_dict())
        reference.norm.load_state_dict(encoder.norm.state_dict())
    return reference


def shake(encoder: Transformer) -> Transformer:
    """Weights away from their start, where every norm is the identity and could be in the wrong place."""
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return encoder


@pytest.mark.parametrize("num_heads", [1, 3, 4])
def test_the_states_and_gradients_are_those_of_torchs_own_transformer(num_heads: int) -> None:
    encoder = shake(transformer(num_heads))
    reference = torchs_own(encoder, num_heads)
    mask = torch.arange(7) < torch.tensor([7, 4, 1])[:, None]
    inputs = torch.randn(3, 7, DIM, dtype=torch.float64, requires_grad=True)
    direction = torch.randn(3, 7, DIM, dtype=torch.float64) * mask[..., None]
    states, expected = encoder(inputs, mask).states, reference(inputs, src_key_padding_mask=~mask)
    torch.testing.assert_close(states[mask], expected[mask])
    (gradient,) = torch.autograd.grad(states, inputs, direction)
    (expected_gradient,) = torch.autograd.grad(expected, inputs, direction)
    torch.testing.assert_close(gradient, expected_gradient)


def test_the_attention_of_a_layer_is_torchs_multi_head_attention() -> None:
    attention = transformer(3).layers[0].attention
    reference = nn.MultiheadAttention(DIM, 3, bias=False, batch_first=True).double()
    with torch.no_grad():
        parts = attention.projections
        reference.in_proj_weight.copy_(torch.cat([parts.query.weight, parts.key.weight, parts.value.weight]))
        reference.out_proj.weight.copy_(parts.output.weight)
    states = torch.randn(2, 7, DIM, dtype=torch.float64)
    mask = torch.arange(7) < torch.tensor([7, 5])[:, None]
    attended = attention(states, states, mask=mask)
    context, weights = reference(states, states, states, key_padding_mask=~mask, average_attn_weights=False)
    torch.testing.assert_close(attended.context, context)
    torch.testing.assert_close(attended.weights, weights)


def test_final_is_the_mean_of_the_real_states() -> None:
    encoder = transformer(2)
    mask = torch.arange(5) < torch.tensor([5, 3])[:, None]
    encoded = encoder(torch.randn(2, 5, DIM, dtype=torch.float64), mask)
    torch.testing.assert_close(encoded.final, torch.stack([encoded.states[0].mean(0), encoded.states[1, :3].mean(0)]))


def test_without_positions_the_order_of_the_inputs_means_nothing() -> None:
    encoder = shake(transformer(3))
    inputs, mask = torch.randn(1, 7, DIM, dtype=torch.float64), torch.ones(1, 7, dtype=torch.bool)
    order = torch.randperm(7)
    encoded, permuted = encoder(inputs, mask), encoder(inputs[:, order], mask)
    torch.testing.assert_close(permuted.states, encoded.states[:, order])
    torch.testing.assert_close(permuted.final, encoded.final)


def test_a_sequence_without_a_real_position_stays_finite_with_its_gradient() -> None:
    encoder = transformer(3)
    inputs = torch.randn(2, 5, DIM, dtype=torch.float64, requires_grad=True)
    encoded = encoder(inputs, torch.zeros(2, 5, dtype=torch.bool))
    (encoded.states.sum() + encoded.final.sum()).backward()
    assert encoded.states.isfinite().all()
    assert encoded.final.tolist() == [[0.0] * DIM] * 2
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()


def test_every_layer_has_weights_of_its_own() -> None:
    encoder = transformer(3)
    first, *others = [layer.attention.projections.query.weight for layer in encoder.layers]
    assert all(other is not first and not torch.equal(other, first) for other in others)


def test_dropout_acts_in_training_only() -> None:
    encoder = transformer(3, dropout=0.5)
    inputs, mask = torch.randn(2, 5, DIM, dtype=torch.float64), torch.ones(2, 5, dtype=torch.bool)
    assert not torch.equal(encoder(inputs, mask).states, encoder(inputs, mask).states)
    encoder.eval()
    assert torch.equal(encoder(inputs, mask).states, encoder(inputs, mask).states)
