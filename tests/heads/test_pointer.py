from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from attnlab.attention import ScoredAttention
from attnlab.attention.normalizers import Entmax15, Softmax, Sparsemax
from attnlab.attention.scorers import Additive, Dot, DotMean
from attnlab.batch import Batch
from attnlab.encoders import Encoded
from attnlab.heads import Pointer
from attnlab.heads.pointer import visited_before
from attnlab.spec import END_OF_POINTERS, PointerSequence

# Batch 3, items 7, state width 11, decoder width 5.
LENGTHS = [7, 4, 1]
POINTS = torch.zeros(3, 7, 2)
NORMALIZERS = {"softmax": Softmax, "sparsemax": Sparsemax, "entmax15": Entmax15}


def pointer(normalizer: Any = Softmax, num_glimpses: int = 0) -> Pointer:
    recipe = partial(ScoredAttention, scorer=partial(Additive, hidden_dim=13), normalizer=normalizer)
    hidden_dim = 11 if num_glimpses else 5  # a glimpse takes the place of the decoder's state
    return Pointer(PointerSequence(7), 11, hidden_dim=hidden_dim, attention=recipe, num_glimpses=num_glimpses).double()


def ending(repeats: bool | None = None, num_glimpses: int = 0) -> Pointer:
    """A head for answers that end, as polygons do."""
    recipe = partial(ScoredAttention, scorer=partial(Additive, hidden_dim=13), normalizer=Softmax)
    output = PointerSequence(8, can_judge_repeats=True, ends=True)
    return Pointer(output, 11, hidden_dim=11, attention=recipe, num_glimpses=num_glimpses, repeats=repeats).double()


def ended_answers() -> tuple[Tensor, Tensor]:
    """All items, some of them, and none: each with its end, then padding; and which of it is real."""
    targets = torch.zeros(3, 8, dtype=torch.long)
    counts = torch.tensor([7, 2, 0])
    for row, count in enumerate(counts.tolist()):
        targets[row, :count] = torch.randperm(LENGTHS[row])[:count]
        targets[row, count] = END_OF_POINTERS
    return targets, torch.arange(8) <= counts[:, None]


def tours() -> tuple[Tensor, Tensor]:
    """A random order of each example's items, then padding, and which of it is real."""
    targets = torch.zeros(3, 7, dtype=torch.long)
    for row, length in enumerate(LENGTHS):
        targets[row, :length] = torch.randperm(length)
    return targets, torch.arange(7) < torch.tensor(LENGTHS)[:, None]


def scores_by_loop(head: Pointer, encoded: Encoded, tour: list[int], row: int, additive_scores: Any) -> Tensor:
    """Step by step, one example: the LSTM's equations, then a score for each item; -inf for those chosen before."""
    states, lstm = encoded.states[row, : len(tour)], head.decoder
    scorer = dict(head.attention.scorer.named_parameters())
    hidden, cell = torch.tanh(head.initial.weight @ encoded.final[row] + head.initial.bias).chunk(2)
    fed, steps = head.start, []
    for step, choice in enumerate(tour):
        gates = lstm.weight_ih_l0 @ fed + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
        i, f, g, o = gates.chunk(4)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        query = hidden
        for _ in range(head.num_glimpses):
            left = [item for item in range(len(tour)) if item not in tour[:step]]
            glimpse = dict(head.glimpse.scorer.named_parameters())
            query = additive_scores(query[None], states[left], glimpse)[0].softmax(0) @ states[left]
        scores = additive_scores(query[None], states, scorer)[0].tolist()
        steps.append([-math.inf if item in tour[:step] else score for item, score in enumerate(scores)])
        fed = states[choice]
    return torch.tensor(steps, dtype=torch.float64)


@pytest.mark.parametrize("num_glimpses", [0, 1, 3])
def test_the_parallel_pass_is_a_loop_over_steps(num_glimpses: int, encoded_with: Any, additive_scores: Any) -> None:
    head, encoded, (targets, _) = pointer(num_glimpses=num_glimpses), encoded_with(LENGTHS, 11), tours()
    scores = head(encoded, POINTS, targets)
    assert scores.shape == (3, 7, 7)
    for row, length in enumerate(LENGTHS):
        expected = scores_by_loop(head, encoded, targets[row, :length].tolist(), row, additive_scores)
        torch.testing.assert_close(scores[row, :length, :length], expected)
        assert (scores[row, :, length:] == -math.inf).all()


def test_the_loss_is_the_cross_entropy_among_the_items_that_are_left(encoded_with: Any, additive_scores: Any) -> None:
    head, encoded, (targets, mask) = pointer(), encoded_with(LENGTHS, 11), tours()
    total = 0.0
    for row, length in enumerate(LENGTHS):
        tour = targets[row, :length].tolist()
        steps = scores_by_loop(head, encoded, tour, row, additive_scores).tolist()
        for choice, scores in zip(tour, steps, strict=True):
            total += math.log(sum(math.exp(score) for score in scores)) - scores[choice]
    batch = Batch(POINTS, mask, targets, mask)
    loss = head.loss(head(encoded, POINTS, targets), batch)
    assert loss.item() == pytest.approx(total / sum(LENGTHS), rel=1e-10)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_choice_of_which_the_head_is_certain_costs_nothing(normalizer: str, encoded_with: Any) -> None:
    head, (targets, mask) = pointer(NORMALIZERS[normalizer]), tours()
    scores = torch.full((3, 7, 7), -50.0, dtype=torch.float64).scatter(-1, targets[..., None], 50.0)
    scores = scores.masked_fill(~mask[:, None] | visited_before(targets, 7), -math.inf)
    assert head.loss(scores, Batch(POINTS, mask, targets, mask)).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_without_a_preference_each_step_costs_the_loss_of_the_uniform_distribution(normalizer: str) -> None:
    # Of the uniform distribution over n items: log n, (1 - 1/n) / 2 and (1 - n^-½) / 0.75.
    costs = {
        "softmax": lambda n: math.log(n),
        "sparsemax": lambda n: (1 - 1 / n) / 2,
        "entmax15": lambda n: (1 - n**-0.5) / 0.75,
    }
    head, (targets, mask) = pointer(NORMALIZERS[normalizer]), tours()
    scores = torch.zeros(3, 7, 7, dtype=torch.float64)
    scores = scores.masked_fill(~mask[:, None] | visited_before(targets, 7), -math.inf)
    expected = sum(costs[normalizer](n) for length in LENGTHS for n in range(1, length + 1)) / sum(LENGTHS)
    assert head.loss(scores, Batch(POINTS, mask, targets, mask)).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("normalizer", "num_glimpses"), [*((name, 0) for name in NORMALIZERS), ("softmax", 2)])
def test_on_its_own_it_scores_what_the_parallel_pass_scores_on_its_answer(
    normalizer: str, num_glimpses: int, encoded_with: Any
) -> None:
    head, encoded = pointer(NORMALIZERS[normalizer], num_glimpses), encoded_with(LENGTHS, 11)
    generated = head.generate(encoded, POINTS)
    answers = head.decode(generated)
    teacher_forced = head(encoded, POINTS, answers)
    for row, length in enumerate(LENGTHS):  # once an example is finished, its choices mean nothing
        torch.testing.assert_close(generated[row, :length], teacher_forced[row, :length])
        assert answers[row, :length].sort().values.tolist() == list(range(length))
    assert torch.equal(head(encoded, POINTS, None), generated)


def test_no_item_is_the_start() -> None:
    # The first choice does not depend on the targets: it is fed the learned start.
    head = pointer()
    encoded = Encoded(
        torch.randn(1, 7, 11, dtype=torch.float64), torch.ones(1, 7, dtype=torch.bool), torch.zeros(1, 11).double()
    )
    first = head(encoded, POINTS[:1], torch.arange(7)[None])[:, 0]
    assert torch.equal(first, head(encoded, POINTS[:1], torch.arange(7).flip(0)[None])[:, 0])
    with torch.no_grad():
        head.start.add_(1)
    assert not torch.equal(first, head(encoded, POINTS[:1], torch.arange(7)[None])[:, 0])


def test_several_heads_point_by_their_mean_score(encoded_with: Any) -> None:
    recipe = partial(ScoredAttention, scorer=DotMean, normalizer=Softmax, num_heads=2)
    head = Pointer(PointerSequence(7), 12, hidden_dim=6, attention=recipe).double()
    encoded, (targets, _) = encoded_with(LENGTHS, 12), tours()
    queries: list[Tensor] = []
    head.attention.register_forward_pre_hook(lambda module, args: queries.append(args[0]))
    scores = head(encoded, POINTS, targets)
    maps = head.attention.projections
    query, keys = queries[0][0] @ maps.query.weight.T, encoded.states[0] @ maps.key.weight.T
    # The mean of two means over halves is the mean over all twelve.
    expected = (query @ keys.T / 12).masked_fill(visited_before(targets, 7)[0], -math.inf)
    torch.testing.assert_close(scores[0], expected)


@pytest.mark.parametrize("repeats", [False, True])
@pytest.mark.parametrize("num_glimpses", [0, 2])
def test_with_an_end_the_parallel_pass_is_a_loop_over_steps(
    repeats: bool, num_glimpses: int, encoded_with: Any, additive_scores: Any
) -> None:
    head, encoded = ending(repeats, num_glimpses), encoded_with(LENGTHS, 11)
    (targets, real), lstm = ended_answers(), head.decoder
    scorers = [
        dict(site.scorer.named_parameters()) for site in (head.attention, getattr(head, "glimpse", None)) if site
    ]
    scores = head(encoded, POINTS, targets)
    assert scores.shape == (3, 8, 8)
    for row, length in enumerate(LENGTHS):
        items = torch.cat([head.end[None], encoded.states[row, :length]])  # the end, and then the input
        hidden, cell = torch.tanh(head.initial.weight @ encoded.final[row] + head.initial.bias).chunk(2)
        fed, left = head.start, list(range(length + 1))
        for step in range(int(real[row].sum())):
            gates = lstm.weight_ih_l0 @ fed + lstm.bias_ih_l0 + lstm.weight_hh_l0 @ hidden + lstm.bias_hh_l0
            i, f, g, o = gates.chunk(4)
            cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
            hidden = query = o.sigmoid() * cell.tanh()
            for _ in range(num_glimpses):
                query = additive_scores(query[None], items[left], scorers[1])[0].softmax(0) @ items[left]
            expected = torch.full((8,), -math.inf, dtype=torch.float64)
            expected[left] = additive_scores(query[None], items[left], scorers[0])[0]
            torch.testing.assert_close(scores[row, step], expected)
            item = int(targets[row, step]) + 1
            fed = items[item]
            if not repeats and item > 0:
                left.remove(item)


def test_the_loss_counts_the_end_and_nothing_after_it(encoded_with: Any) -> None:
    head, encoded, (targets, real) = ending(), encoded_with(LENGTHS, 11), ended_answers()
    scores = head(encoded, POINTS, targets)
    chosen = scores.log_softmax(-1).gather(-1, targets[..., None] + 1).squeeze(-1)
    batch = Batch(POINTS, real, targets, real)
    assert head.loss(scores, batch).item() == pytest.approx(-chosen[real].mean().item(), rel=1e-12)
    spoilt = scores.masked_fill(~real[..., None], 1e3)
    assert torch.equal(head.loss(spoilt, batch), head.loss(scores, batch))
    assert real.sum(1).tolist() == [8, 3, 1]  # every end among them


def test_after_the_first_end_no_choice_counts() -> None:
    head = ending()
    scores = torch.full((2, 5, 8), -9.0).scatter(-1, torch.tensor([[3, 1, 0, 2, 0], [0, 4, 4, 4, 4]])[..., None], 9.0)
    assert head.decode(scores).tolist() == [[2, 0, -1, -1, -1], [-1] * 5]
    assert torch.equal(head.decode(scores[:, :2]), torch.tensor([[2, 0], [-1, -1]]))  # it never came to its end
    other = scores.clone()
    other[0, 3:] = other[1, 1:] = torch.randn(8)
    assert torch.equal(head.decode(other), head.decode(scores))


def biased(head: Pointer, end: float) -> Pointer:
    """The end has a score of its own and the others have theirs."""
    point = head._point

    def _point(*arguments: Any) -> Tensor:
        scores = point(*arguments)
        return torch.cat([torch.full_like(scores[..., :1], end), scores[..., 1:]], dim=-1)

    head._point = _point  # type: ignore[method-assign]
    return head


def test_decoding_stops_when_all_have_ended(encoded_with: Any) -> None:
    encoded = encoded_with(LENGTHS, 11)
    early, late = biased(ending(), 1e6), biased(ending(), -1e6)
    assert early.decode(early.generate(encoded, POINTS)).tolist() == [[-1]] * 3
    answers = late.decode(late.generate(encoded, POINTS)).tolist()
    for answer, length in zip(answers, LENGTHS, strict=True):  # each end comes when nothing else is left
        assert sorted(answer[:length]) == list(range(length))
        assert answer[length:] == [-1] * (8 - length)
    forever = biased(ending(repeats=True), -1e6)
    assert forever.decode(forever.generate(encoded, POINTS)).shape == (3, 8)
    assert (forever.decode(forever.generate(encoded, POINTS)) >= 0).all()


@pytest.mark.parametrize("repeats", [False, True])
def test_answers_that_end_are_scored_as_the_parallel_pass_scores_them(repeats: bool, encoded_with: Any) -> None:
    head, encoded = biased(ending(repeats), 0.2), encoded_with(LENGTHS, 11)
    generated = head.generate(encoded, POINTS)
    answers = head.decode(generated)
    teacher_forced = head(encoded, POINTS, answers)
    for row, steps in enumerate((answers >= 0).sum(1) + 1):
        torch.testing.assert_close(generated[row, :steps], teacher_forced[row, :steps])


def test_only_an_output_that_ends_has_an_end_to_learn() -> None:
    assert pointer().end is None
    names = {name for name, _ in ending().named_parameters()}
    assert names == {name for name, _ in pointer().named_parameters()} | {"end"}


def test_an_item_counts_as_visited_after_its_own_step() -> None:
    visited = visited_before(torch.tensor([[2, 0, 1]]), 4)
    assert visited.int().tolist() == [[[0, 0, 0, 0], [0, 0, 1, 0], [1, 0, 1, 0]]]


def test_all_glimpses_share_one_attention_apart_from_the_one_that_points() -> None:
    names = {name for name, _ in pointer(num_glimpses=3).named_parameters()}
    assert {name for name in names if name.startswith("glimpse.")} == {
        name.replace("attention.", "glimpse.") for name in names if name.startswith("attention.")
    }
    assert not any(name.startswith("glimpse") for name, _ in pointer().named_parameters())


@pytest.mark.parametrize("num_glimpses", [0, 2])
def test_each_query_stands_at_its_step(num_glimpses: int, encoded_with: Any) -> None:
    head, places = pointer(num_glimpses=num_glimpses), []
    for site in head.children():
        if isinstance(site, ScoredAttention):
            site.register_forward_pre_hook(
                lambda module, args, options: places.append(options["places"].tolist()), with_kwargs=True
            )
    targets, _ = tours()
    head(encoded_with(LENGTHS, 11), POINTS, targets)
    assert places == [[[0, 1, 2, 3, 4, 5, 6]]] * (num_glimpses + 1)
    places.clear()
    head.generate(encoded_with(LENGTHS, 11), POINTS)
    assert places == [[[step]] for step in range(7) for _ in range(num_glimpses + 1)]


@pytest.mark.parametrize(
    ("num_glimpses", "hidden_dim", "message"),
    [
        (-1, 11, "head.num_glimpses=-1 must be at least 0"),
        (
            1,
            5,
            "head.num_glimpses=1 puts a sum of the encoder's states in the place of the decoder's state, so "
            "head.hidden_dim=5 must equal their width; use head.hidden_dim=11",
        ),
    ],
)
def test_impossible_glimpses_are_refused(num_glimpses: int, hidden_dim: int, message: str) -> None:
    recipe = partial(ScoredAttention, scorer=partial(Additive, hidden_dim=13), normalizer=Softmax)
    with pytest.raises(ValueError, match="head") as refusal:
        Pointer(PointerSequence(7), 11, hidden_dim=hidden_dim, attention=recipe, num_glimpses=num_glimpses)
    assert str(refusal.value) == message


def test_with_repeats_every_real_item_may_be_chosen_at_every_step() -> None:
    judged = PointerSequence(6, can_judge_repeats=True)
    attention = partial(ScoredAttention, scorer=Dot, normalizer=Softmax)
    head = Pointer(judged, 8, hidden_dim=8, attention=attention, repeats=True)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    encoded = Encoded(torch.randn(2, 6, 8), mask, torch.randn(2, 8))
    targets = torch.tensor([[2, 2, 0, 1, 3, 4], [3, 1, 3, 0, 0, 0]])
    forced = head(encoded, torch.zeros(2, 6, 1), targets)
    free = head.generate(encoded, torch.zeros(2, 6, 1))
    for scores in (forced, free):
        assert torch.equal(scores > -torch.inf, mask[:, None].expand(2, 6, 6))


def test_whether_items_repeat_is_by_default_as_in_the_answers() -> None:
    attention = partial(ScoredAttention, scorer=Dot, normalizer=Softmax)
    outputs = [
        PointerSequence(6),
        PointerSequence(6, can_judge_repeats=True),
        PointerSequence(6, can_judge_repeats=True, needs_repeats=True),
    ]
    assert [Pointer(output, 8, hidden_dim=8, attention=attention).repeats for output in outputs] == [False, False, True]
    with pytest.raises(ValueError, match=r"head\.repeats=false chooses an item once at most.*use head\.repeats=true"):
        Pointer(outputs[2], 8, hidden_dim=8, attention=attention, repeats=False)


def test_repeats_are_refused_where_the_data_cannot_judge_them() -> None:
    attention = partial(ScoredAttention, scorer=Dot, normalizer=Softmax)
    with pytest.raises(ValueError, match=r"head\.repeats=true may choose an item twice"):
        Pointer(PointerSequence(6), 8, hidden_dim=8, attention=attention, repeats=True)
