from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import Bilinear
from attnlab.batch import Batch
from attnlab.embedders import embedder_for
from attnlab.encoders import GRU, Encoded, Encoder
from attnlab.heads import Direct, Head, Pointer, Seq2Seq
from attnlab.model import Model
from attnlab.spec import DataSpec, Forecast, PointerSequence, Points, Series, Tokens, TokenSequence

ATTENTION = partial(ScoredAttention, scorer=Bilinear, normalizer=Softmax)
HEADS = {
    "direct": partial(Direct, hidden_dim=13, dropout=0.0, loss="mse", attention=ATTENTION),
    "seq2seq": partial(Seq2Seq, hidden_dim=13, attention=ATTENTION),
    "pointer": partial(Pointer, hidden_dim=13, attention=ATTENTION),
}
SPECS = {
    "direct": DataSpec(Series(5), Forecast(3, (0, 4)), max_length=7),
    "seq2seq": DataSpec(Tokens(13), TokenSequence(17, 8), max_length=7),
    "pointer": DataSpec(Points(2), PointerSequence(7), max_length=7),
}
EACH = pytest.mark.parametrize("head", HEADS)


def model_of(head: str) -> tuple[Model, Batch]:
    spec = SPECS[head]
    embedder = embedder_for(spec.input, 11, max_length=7, positions=False)
    return Model(embedder, GRU(11, hidden_dim=19), HEADS[head](spec.output, 19)), spec.example(3)


class Double(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return 2 * inputs


class AddOne(Encoder):
    output_dim = 2

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        return Encoded(inputs + 1, mask, inputs[:, 0] + 1)


class Tell(Head):
    """Predicts the sum of states, raw inputs and, where it is fed them, targets."""

    accepts = (Forecast,)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        seen = encoded.states * encoded.mask[..., None] + inputs
        return seen if targets is None else seen + targets

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        return predictions.sum()

    def decode(self, predictions: Tensor) -> Tensor:
        return -predictions


def test_the_parts_are_called_in_order_with_what_each_needs() -> None:
    model = Model(Double(), AddOne(), Tell())
    inputs, mask = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([[True, False]])
    batch = Batch(inputs, mask, torch.full((1, 2, 2), 100.0), torch.ones(1, 2, 2, dtype=torch.bool))
    seen = torch.tensor([[[3.0 + 1, 5 + 2], [3, 4]]])  # 2 x + 1 where it is real, and x
    torch.testing.assert_close(model(batch), seen + 100)
    torch.testing.assert_close(model.generate(batch), seen)
    torch.testing.assert_close(model.answer(batch), -seen)
    assert model.loss(batch).item() == (seen + 100).sum().item()


@EACH
def test_what_is_generated_does_not_depend_on_the_targets(head: str) -> None:
    model, batch = model_of(head)
    other = Batch(batch.inputs, batch.input_mask, torch.zeros_like(batch.targets), ~batch.target_mask)
    assert torch.equal(model.generate(batch), model.generate(other))
    assert torch.equal(model.answer(batch), model.answer(other))


@EACH
def test_the_loss_depends_on_the_targets(head: str) -> None:
    model, batch = model_of(head)
    swapped = batch.targets[[1, 0, 2]]  # the third is shorter than the others
    assert model.loss(batch) != model.loss(Batch(batch.inputs, batch.input_mask, swapped, batch.target_mask))


@EACH
def test_the_state_of_a_model_is_all_that_it_is(head: str) -> None:
    (first, batch), (second, _) = model_of(head), model_of(head)
    assert not torch.equal(first.generate(batch), second.generate(batch))
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.generate(batch), second.generate(batch))
