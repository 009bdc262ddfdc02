from __future__ import annotations

import pytest

from attnlab.attention import ScoredAttention
from attnlab.config import choices, conf_dir
from attnlab.errors import IncompatibleError
from attnlab.matrix import DIM, Combination
from attnlab.model import Model


@pytest.fixture(scope="module")
def every(cells: list[Combination]) -> dict[tuple[str, ...], Combination]:
    """Each combination by the names of its choices, under each dataset that it stands for."""
    return {(data, *list(cell.choices.values())[1:]): cell for cell in cells for data in cell.alike}


def normalizes(attention: str) -> bool:
    return "normalizer:" in (conf_dir() / "attention" / f"{attention}.yaml").read_text()


def test_each_combination_comes_once(cells: list[Combination], every: dict[tuple[str, ...], Combination]) -> None:
    num_attentions = sum(
        len(choices("attention/normalizer")) if normalizes(name) else 1 for name in choices("attention")
    )
    assert len(every) == len(choices("data")) * len(choices("encoder")) * num_attentions
    assert sum(len(cell.alike) for cell in cells) == len(every)


def test_each_dataset_comes_with_its_usual_head(every: dict[tuple[str, ...], Combination]) -> None:
    heads = {(names[0], names[-1]) for names in every}
    assert {("beijing", "direct"), ("reverse", "seq2seq"), ("tsp", "pointer")} <= heads
    assert len(heads) == len(choices("data"))


def test_fixed_weights_have_no_normalizer_among_their_choices(every: dict[tuple[str, ...], Combination]) -> None:
    for cell in every.values():
        assert ("attention/normalizer" in cell.choices) == normalizes(cell.choices["attention"])


def test_a_combination_builds_the_parts_that_it_names(every: dict[tuple[str, ...], Combination]) -> None:
    model = every["beijing", "transformer", "bilinear", "sparsemax", "direct"].build()
    sites = [module for module in model.modules() if isinstance(module, ScoredAttention)]
    assert {type(site.scorer).__name__ for site in sites} == {"Bilinear"}
    assert {type(site.normalizer).__name__ for site in sites} == {"Sparsemax"}
    assert type(model.encoder).__name__ == "Transformer"
    assert type(model.head).__name__ == "Direct"
    assert model.encoder.output_dim == DIM


def test_no_two_sites_share_a_parameter(every: dict[tuple[str, ...], Combination]) -> None:
    model = every["beijing", "transformer", "additive", "softmax", "direct"].build()
    scorers = [module.scorer for module in model.modules() if isinstance(module, ScoredAttention)]
    assert len(scorers) == 3
    assert len({id(parameter) for scorer in scorers for parameter in scorer.parameters()}) == 3 * 4


def test_a_combination_knows_why_it_is_refused(every: dict[tuple[str, ...], Combination]) -> None:
    refused = every["tsp", "lstm", "uniform", "pointer"]
    assert isinstance(refused.refusal, IncompatibleError)
    with pytest.raises(IncompatibleError) as error:
        refused.build()
    assert str(error.value) == str(refused.refusal)
    assert len(refused.refusal.problems) == 1


def test_a_combination_that_trains_is_not_refused(every: dict[tuple[str, ...], Combination]) -> None:
    accepted = every["tsp", "lstm", "additive", "softmax", "pointer"]
    assert accepted.refusal is None
    assert isinstance(accepted.build(), Model)
