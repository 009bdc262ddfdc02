from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.attention import NoAttention, ScoredAttention
from attnlab.attention.normalizers import Softmax
from attnlab.attention.scorers import Additive
from attnlab.batch import Batch
from attnlab.encoders import Encoded
from attnlab.heads import Seq2Seq
from attnlab.spec import TokenSequence

# Batch 3, time 7, state width 11, decoder width 5, vocabulary 13, at most 6 tokens.
OUTPUT = TokenSequence(13, 6)
ADDITIVE = partial(ScoredAttention, scorer=partial(Additive, hidden_dim=17), normalizer=Softmax)
LENGTHS = [7, 3, 1]
BOTH = pytest.mark.parametrize("attention", [ADDITIVE, NoAttention], ids=["additive", "none"])


def seq2seq(attention: Any = ADDITIVE) -> Seq2Seq:
    return Seq2Seq(OUTPUT, 11, hidden_dim=5, attention=attention).double()


def gru_step(head: Seq2Seq, joined: Tensor, state: Tensor) -> Tensor:
    cell = head.cell
    r, z, n = (cell.weight_ih @ joined + cell.bias_ih).chunk(3)
    r_state, z_state, n_state = (cell.weight_hh @ state + cell.bias_hh).chunk(3)
    reset, update = torch.sigmoid(r + r_state), torch.sigmoid(z + z_state)
    return (1 - update) * torch.tanh(n + reset * n_state) + update * state


def decoded_by_loop(head: Seq2Seq, encoded: Encoded, fed: list[int], row: int, additive_scores: Any) -> Tensor:
    """The logits of one example that is fed these tokens, the first of them the start; nothing is batched."""
    states = encoded.states[row, : LENGTHS[row]]
    state = torch.tanh(head.initial.weight @ encoded.final[row] + head.initial.bias)
    logits = []
    for token in fed:
        context = state.new_zeros(0)
        if head.attention.attends:
            scorer = dict(head.attention.scorer.named_parameters())
            context = additive_scores(state[None], states, scorer)[0].softmax(0) @ states
        joined = torch.cat([head.embedding.weight[token], context])
        state = gru_step(head, joined, state)
        logits.append(head.readout.weight @ torch.cat([state, joined]) + head.readout.bias)
    return torch.stack(logits)


@BOTH
def test_the_logits_are_those_of_a_loop_over_single_examples(
    attention: Any, encoded_with: Any, additive_scores: Any
) -> None:
    head, encoded = seq2seq(attention), encoded_with(LENGTHS, 11)
    targets = torch.randint(1, 13, (3, 4))
    logits = head(encoded, torch.zeros(3, 7, dtype=torch.long), targets)
    assert logits.shape == (3, 4, 13)
    for row in range(3):
        fed = [0, *targets[row, :-1].tolist()]
        torch.testing.assert_close(logits[row], decoded_by_loop(head, encoded, fed, row, additive_scores))


@BOTH
def test_on_its_own_it_is_fed_its_own_answers(attention: Any, encoded_with: Any) -> None:
    head, encoded, inputs = seq2seq(attention), encoded_with(LENGTHS, 11), torch.zeros(3, 7, dtype=torch.long)
    generated = head.generate(encoded, inputs)
    assert generated.shape == (3, 6, 13)
    answers = head.decode(generated)
    torch.testing.assert_close(head(encoded, inputs, answers), generated)
    assert torch.equal(head(encoded, inputs, None), generated)


def test_a_target_is_fed_to_later_steps_alone(encoded_with: Any) -> None:
    head, encoded, inputs = seq2seq(), encoded_with(LENGTHS, 11), torch.zeros(3, 7, dtype=torch.long)
    targets = torch.randint(1, 12, (3, 4))
    changed = targets.clone()
    changed[:, 1] += 1
    before, after = head(encoded, inputs, targets), head(encoded, inputs, changed)
    assert torch.equal(before[:, :2], after[:, :2])
    assert (before[:, 2:] != after[:, 2:]).any(-1).all()


def test_without_attention_the_states_are_not_seen(encoded_with: Any) -> None:
    head, encoded, inputs = seq2seq(NoAttention), encoded_with(LENGTHS, 11), torch.zeros(3, 7, dtype=torch.long)
    other = encoded._replace(states=torch.randn_like(encoded.states))
    assert torch.equal(head.generate(encoded, inputs), head.generate(other, inputs))
    assert head.cell.input_size == 5


def test_with_attention_the_states_are_seen(encoded_with: Any) -> None:
    head, encoded, inputs = seq2seq(), encoded_with(LENGTHS, 11), torch.zeros(3, 7, dtype=torch.long)
    other = encoded._replace(states=torch.randn_like(encoded.states))
    assert (head.generate(encoded, inputs) != head.generate(other, inputs)).any(-1).all()


def test_the_loss_is_the_mean_cross_entropy_of_real_tokens() -> None:
    predictions = torch.randn(2, 3, 13, dtype=torch.float64)
    targets = torch.tensor([[4, 12, 1], [2, 0, 0]])
    mask = targets > 0
    expected = 0.0
    for row, step in mask.nonzero().tolist():
        logits = predictions[row, step].tolist()
        expected += math.log(sum(math.exp(z) for z in logits)) - logits[targets[row, step]]
    batch = Batch(targets, mask, targets, mask)
    assert seq2seq().loss(predictions, batch).item() == pytest.approx(expected / 4, rel=1e-12)


def test_padding_is_never_the_answer() -> None:
    predictions = torch.zeros(2, 3, 13)
    predictions[..., 0] = 100
    predictions[0, :, 12] = 1
    predictions[1, :, 1] = 1
    assert seq2seq().decode(predictions).tolist() == [[12] * 3, [1] * 3]
