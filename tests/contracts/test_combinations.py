"""Every data × encoder × attention × normalizer is trained, or is refused with its reasons; nothing else happens."""

from __future__ import annotations

import pytest
import torch

from attnlab.config import choices, conf_dir
from attnlab.errors import IncompatibleError
from attnlab.matrix import Combination
from attnlab.model import Model
from attnlab.spec import DataSpec

# The rules in the words of the options, apart from the classes that compose.find_problems asks.
MADE_OF_ATTENTION = {"history_rnn", "transformer"}
WITHOUT_TRAINED_WEIGHTS = {"uniform", "last", "none"}
WITHOUT_LOSS = {"sigmoid"}


def expected_reasons(chosen: dict[str, str]) -> list[tuple[str, str]]:
    """What each reason must say, and what it must advise; none where the combination is to be trained."""
    encoder, attention, head = f"encoder={chosen['encoder']}", f"attention={chosen['attention']}", chosen["head"]
    reasons = []
    if chosen["encoder"] in MADE_OF_ATTENTION and chosen["attention"] == "none":
        reasons.append((f"{encoder} is made of attention and {attention}", "choose an attention, or encoder="))
    if head == "pointer" and chosen["attention"] in WITHOUT_TRAINED_WEIGHTS:
        reasons.append((f"{attention} has none that could be trained", "choose another attention, such as additive"))
    if head == "pointer" and chosen.get("attention/normalizer") in WITHOUT_LOSS:
        normalizer = f"attention/normalizer={chosen['attention/normalizer']}"
        reasons.append((f"{normalizer} has none", "choose softmax, sparsemax or entmax15"))
    return reasons


def train_one_step(model: Model, spec: DataSpec) -> None:
    batch = spec.example(3, 5, seed=1)
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


def num_attentions() -> int:
    """Those with a normalizer to choose count once with each."""
    files = [conf_dir() / "attention" / f"{name}.yaml" for name in choices("attention")]
    scored = sum("normalizer:" in file.read_text() for file in files)
    return scored * len(choices("attention/normalizer")) + len(files) - scored


@pytest.mark.parametrize("encoder", choices("encoder"))
@pytest.mark.parametrize("data", choices("data"))
def test_every_combination_is_trained_or_refused_by_the_rules(
    data: str, encoder: str, cells: list[Combination]
) -> None:
    here = [cell for cell in cells if (cell.choices["data"], cell.choices["encoder"]) == (data, encoder)]
    trained, refused = [], []
    for cell in here:
        try:
            model = cell.build()
        except IncompatibleError as error:
            check_refusal(error, cell.choices)
            refused.append(cell)
        else:
            train_one_step(model, cell.spec)
            trained.append(cell)
    assert refused == [cell for cell in here if expected_reasons(cell.choices)]
    assert len(trained) + len(refused) == num_attentions()
    assert trained


def test_the_table_has_no_combination_outside_the_options(cells: list[Combination]) -> None:
    names = {tuple(cell.choices.items()) for cell in cells}
    assert len(names) == len(cells) == len(choices("data")) * len(choices("encoder")) * num_attentions()
