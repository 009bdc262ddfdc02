from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from attnlab.attention import Attention, Last, NoAttention, ScoredAttention, Uniform
from attnlab.attention.normalizers import Softmax
from attnlab.attention.recorder import record_attention
from attnlab.attention.scorers import ScaledDot


class Decoder(nn.Module):
    """Looks at a memory once per step; its own attention stands beside one that attends to nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.site = ScoredAttention(4, 4, 4, scorer=ScaledDot, normalizer=Softmax, num_heads=2)
        self.nothing = NoAttention(4, 4, 4)

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        memory = self.site.prepare(keys)
        steps = [self.site(queries[:, step : step + 1], memory).context for step in range(queries.shape[1])]
        self.nothing(queries, keys)
        return torch.cat(steps, dim=1)


class Whole(nn.Module):
    """Two sites, one of them deeper."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Uniform(4, 4, 4)
        self.decoder = Decoder()

    def forward(self, queries: Tensor, keys: Tensor) -> Tensor:
        return self.decoder(self.encoder(queries, keys).context, keys)


def call(model: nn.Module) -> Tensor:
    return model(torch.randn(2, 3, 4), torch.randn(2, 5, 4))


def num_hooks(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def test_each_site_is_recorded_under_its_module_name_once_per_call() -> None:
    model = Whole()
    with record_attention(model) as recorded:
        call(model)
    assert {site: [tuple(entry.shape) for entry in entries] for site, entries in recorded.items()} == {
        "encoder": [(2, 1, 3, 5)],
        "decoder.site": [(2, 2, 1, 5)] * 3,
    }


def test_what_is_recorded_are_the_weights() -> None:
    attention = ScoredAttention(4, 4, 4, scorer=ScaledDot, normalizer=Softmax)
    queries, keys = torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    with record_attention(attention) as recorded:
        attended = attention(queries, keys)
    assert torch.equal(recorded[""][0], attended.weights)


def test_the_record_holds_no_graph_and_the_output_keeps_its_own() -> None:
    attention = ScoredAttention(4, 4, 4, scorer=ScaledDot, normalizer=Softmax, projected=True)
    with record_attention(attention) as recorded:
        attended = attention(torch.randn(2, 3, 4), torch.randn(2, 5, 4))
    assert attended.weights.requires_grad
    assert not recorded[""][0].requires_grad


def test_recording_changes_nothing() -> None:
    model, queries, keys = Whole(), torch.randn(2, 3, 4), torch.randn(2, 5, 4)
    before = model(queries, keys)
    with record_attention(model):
        during = model(queries, keys)
    assert torch.equal(before, during)


def test_calls_after_the_end_are_not_recorded() -> None:
    model = Whole()
    with record_attention(model) as recorded:
        assert num_hooks(model) == 2
        call(model)
    call(model)
    assert len(recorded["encoder"]) == 1
    assert num_hooks(model) == 0


def test_the_hooks_are_gone_after_an_error_too() -> None:
    model = Whole()
    with pytest.raises(RuntimeError), record_attention(model):
        model(torch.randn(2, 3, 4), torch.randn(2, 5, 9))  # keys of another width
    assert num_hooks(model) == 0


@pytest.mark.parametrize("model", [nn.Linear(4, 4), NoAttention(4, 4, 4)])
def test_a_model_that_attends_to_nothing_has_no_record(model: nn.Module) -> None:
    with record_attention(model) as recorded:
        model(torch.randn(2, 3, 4), torch.randn(2, 5, 4)) if isinstance(model, Attention) else model(torch.randn(2, 4))
    assert recorded == {}


def test_two_records_at_once_see_the_same() -> None:
    model = Last(4, 4, 4)
    with record_attention(model) as outer, record_attention(model) as inner:
        call(model)
    assert torch.equal(outer[""][0], inner[""][0])
