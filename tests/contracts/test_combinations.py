"""Every data × encoder × attention × normalizer is trained, or is refused with its reasons; nothing else happens."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hydra.utils import get_class
from omegaconf import OmegaConf

from attnlab.config import choices, conf_dir
from attnlab.errors import IncompatibleError
from attnlab.matrix import Combination
from attnlab.model import Model
from attnlab.spec import DataSpec

#: Datasets that look alike, and an encoder.
Place = tuple[tuple[str, ...], str]

# The rules in the words of the options, apart from the classes that compose.find_problems asks.
MADE_OF_ATTENTION = {
    "history_rnn",
    "lstmn",
    "stacked_attentive",
    "feedforward_attention",
    "transformer",
    "hierarchical",
    "inverted_transformer",
    "read_process_write",
}
MADE_OF_SLOTS = {"entity_network"}
OF_SETS = {"read_process_write"}
OF_VARIABLES = {"inverted_transformer"}
WITH_VARIABLES = {"beijing", "table"}
ASKS_QUESTIONS = {"babi"}
WITHOUT_TRAINED_WEIGHTS = {"uniform", "last", "none"}
WITHOUT_LOSS = {"sigmoid"}
NEEDS_POSITIONS = {"pointer", "per_step"}


def expected_reasons(chosen: dict[str, str]) -> list[tuple[str, str]]:
    """What each reason must say, and what it must advise; none where the combination is to be trained."""
    encoder, attention, head = f"encoder={chosen['encoder']}", f"attention={chosen['attention']}", chosen["head"]
    reasons = []
    if chosen["encoder"] in MADE_OF_ATTENTION and chosen["attention"] == "none":
        reasons.append((f"{encoder} is made of attention and {attention}", "choose an attention, or encoder="))
    if chosen["encoder"] in OF_VARIABLES and chosen["data"] not in WITH_VARIABLES:
        reasons.insert(0, (f"{encoder} attends among variables", "choose another encoder"))
    if head in NEEDS_POSITIONS and chosen["encoder"] in MADE_OF_SLOTS:
        reasons.append((f"{encoder} returns memory slots", "choose another encoder"))
    if head == "pointer" and chosen["attention"] in WITHOUT_TRAINED_WEIGHTS:
        reasons.append((f"{attention} has none that could be trained", "choose another attention, such as additive"))
    if head == "pointer" and chosen["attention"] == "feedforward":
        reasons.append((f"{attention} does not look at it", "choose another attention, such as additive"))
    elif head == "pointer" and chosen.get("attention/normalizer") in WITHOUT_LOSS:
        normalizer = f"attention/normalizer={chosen['attention/normalizer']}"
        reasons.append((f"{normalizer} has none", "choose softmax, sparsemax or entmax15"))
    # What an encoder says when it is built, after the classes have found nothing.
    if not reasons and chosen["encoder"] in OF_SETS and head == "per_step":
        reasons.append((f"{encoder} reads a set, which has no order", "choose another encoder"))
    if not reasons and chosen["encoder"] in OF_SETS and chosen["data"] in ASKS_QUESTIONS:
        reasons.append(("the question is asked in its place", "choose another encoder, or encoder.num_steps=0"))
    return reasons


def train_one_step(model: Model, spec: DataSpec) -> None:
    batch = spec.example(3, max(5, model.encoder.needed_length), seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    loss = model.loss(batch)
    loss.backward()
    assert loss.isfinite()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
    optimizer.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert model.loss(batch).isfinite()


def check_refusal(error: IncompatibleError, chosen: dict[str, str]) -> None:
    headline, *lines = str(error).splitlines()
    assert headline == f"cannot train {' '.join(f'{group}={name}' for group, name in chosen.items())}:"
    for line, (reason, advice) in zip(lines, expected_reasons(chosen), strict=True):
        assert line.startswith("  - ")
        assert reason in line
        assert advice in line


def kinds_of_data() -> dict[str, tuple[str, ...]]:
    """What a model can see of a dataset → the datasets that look so: one of them stands for all."""
    found: dict[str, list[str]] = {}
    for name in choices("data"):
        node = OmegaConf.load(conf_dir() / "data" / f"{name}.yaml")
        head = next(
            default["override /head@_global_.head"] for default in node.defaults if not isinstance(default, str)
        )
        found.setdefault(f"{get_class(node._target_).example_spec.kinds} {head}", []).append(name)
    return {kind: tuple(names) for kind, names in found.items()}


KINDS = kinds_of_data()


def num_attentions() -> int:
    """Those with a normalizer to choose count once with each."""
    files = [conf_dir() / "attention" / f"{name}.yaml" for name in choices("attention")]
    scored = sum("normalizer:" in file.read_text() for file in files)
    return scored * len(choices("attention/normalizer")) + len(files) - scored


@pytest.fixture(scope="module")
def cells_at(cells: list[Combination]) -> dict[Place, list[list[Combination]]]:
    """Data and encoder → for each attention its combinations, one for each normalizer."""
    found: dict[Place, dict[str, list[Combination]]] = defaultdict(lambda: defaultdict(list))
    for cell in cells:
        found[cell.alike, cell.choices["encoder"]][cell.choices["attention"]].append(cell)
    return {place: list(attentions.values()) for place, attentions in found.items()}


@pytest.mark.parametrize(
    "thorough", [pytest.param(False, id="in_turn"), pytest.param(True, id="all", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("encoder", choices("encoder"))
@pytest.mark.parametrize("data", KINDS.values(), ids=",".join)
def test_every_combination_is_trained_or_refused_by_the_rules(
    data: tuple[str, ...], encoder: str, thorough: bool, cells_at: dict[Place, list[list[Combination]]]
) -> None:
    """A normalizer has nothing to train, so at each place one trains for all; the next place takes the next one.

    With nine attentions that have one to choose, all are trained with each encoder and with each kind of data.
    """
    turn = list(cells_at).index((data, encoder))
    trained = 0
    for number, cells in enumerate(cells_at[data, encoder]):
        fitting = [cell for cell in cells if not expected_reasons(cell.choices)]
        for cell in cells:
            if cell not in fitting:
                with pytest.raises(IncompatibleError) as error:
                    cell.build()
                check_refusal(error.value, cell.choices)
            elif thorough or cell is fitting[(turn + number) % len(fitting)]:
                train_one_step(cell.build(), cell.spec)
                trained += 1
            elif cell.choices["head"] == "pointer":  # no other head asks its normalizer for anything
                assert cell.refusal_by_rule is None
    assert sum(map(len, cells_at[data, encoder])) == num_attentions()
    assert trained or encoder in OF_SETS | MADE_OF_SLOTS | OF_VARIABLES


@pytest.mark.parametrize("normalizer", choices("attention/normalizer"))
def test_a_normalizer_has_nothing_to_train(normalizer: str, part_of: Callable[..., Any]) -> None:
    attention = part_of("attention", attention="dot", **{"attention/normalizer": normalizer})
    assert list(attention(4, 4, None).normalizer.parameters()) == []


def test_the_table_has_no_combination_outside_the_options(cells: list[Combination]) -> None:
    names = {tuple(cell.choices.items()) for cell in cells}
    assert len(names) == len(cells) == len(KINDS) * len(choices("encoder")) * num_attentions()
    assert {name for cell in cells for name in cell.alike} == set(choices("data"))
