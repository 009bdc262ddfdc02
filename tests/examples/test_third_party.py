"""The package that docs/extending.md explains: trained through hydra.searchpath, as somebody else's would be."""

from __future__ import annotations

import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from attnlab.cli import run
from attnlab.data.base import generator_for
from attnlab.spec import DataSpec, Series, StepLabels

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "examples" / "third_party"
SEARCH = "hydra.searchpath=[pkg://my_lab.conf]"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGE))


def part(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def test_its_attention_encoder_and_data_train_together(tmp_path: Path) -> None:
    sizes = ["data.num_train=64", "data.num_val=16", "data.num_test=16", "data.batch_size=16", "dim=8"]
    words = ["data=majority", "encoder=leaky", "attention=neg_distance", "trainer=cpu", "trainer.max_epochs=1"]
    assert run(["train", *words, *sizes, SEARCH, f"hydra.run.dir={tmp_path}/run"]) == 0
    choices = json.loads((tmp_path / "run/meta.json").read_text())["choices"]
    assert (choices["data"], choices["encoder"], choices["attention"]) == ("majority", "leaky", "neg_distance")
    assert 0 <= json.loads((tmp_path / "run/summary.json").read_text())["test/accuracy"] <= 1
    assert run(["evaluate", f"{tmp_path}/run"]) == 0


@pytest.mark.parametrize(
    "words", [["encoder=leaky"], ["attention=neg_distance"], ["data=majority"]], ids=lambda words: words[0]
)
def test_each_goes_with_what_the_project_has(words: list[str], tmp_path: Path) -> None:
    small = ["data.num_train=32", "data.num_val=8", "data.num_test=8", "dim=8", "trainer=cpu", "trainer.max_steps=2"]
    data = [] if words == ["data=majority"] else ["data=parity"]
    assert run(["train", *data, *words, *small, SEARCH, f"hydra.run.dir={tmp_path}/run"]) == 0


def test_the_score_is_minus_the_squared_distance() -> None:
    scorer = part("my_lab.neg_distance.NegativeDistance")(2, 2)
    queries, keys = torch.tensor([[[[1.0, 2.0]]]]), torch.tensor([[[[1.0, 2.0], [4.0, -2.0]]]])
    assert scorer(queries, keys).tolist() == [[[[0.0, -25.0]]]]


def test_a_leaky_state_is_the_weighted_sum_of_all_inputs_so_far() -> None:
    spec = DataSpec(Series(3), StepLabels(2), max_length=5)
    encoder = part("my_lab.leaky.Leaky")(3, spec, hidden_dim=7)
    inputs, mask = torch.randn(2, 5, 3), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    encoded = encoder(inputs, mask)
    decay, fresh = torch.sigmoid(encoder.rate), torch.tanh(encoder.linear(inputs))
    expected = sum((1 - decay) * decay ** (3 - step) * fresh[:, step] for step in range(4))
    torch.testing.assert_close(encoded.states[:, 3], expected)
    torch.testing.assert_close(encoded.final[1], encoded.states[1, 2])


def test_a_majority_is_counted() -> None:
    sizes = {"num_train": 50, "num_val": 2, "num_test": 2, "batch_size": 4, "seed": 1}
    data = part("my_lab.majority.Majority")(num_symbols=3, length="2-9", test_lengths=[], **sizes)
    batch = data.examples(generator_for(1, "train"), np.arange(2, 10).repeat(6))
    for inputs, real, targets, asked in zip(
        batch.inputs, batch.input_mask, batch.targets, batch.target_mask, strict=True
    ):
        symbols = inputs[real].tolist()
        assert targets[asked].tolist() == [max(sorted(set(symbols)), key=symbols.count)]
        assert asked.nonzero().flatten().tolist() == [len(symbols) - 1]


def test_the_documentation_shows_these_files_as_they_are() -> None:
    page = (REPOSITORY / "docs" / "extending.md").read_text()
    shown = dict(re.findall(r"^```\w+\n# (my_lab/\S+)\n(.*?)^```", page, flags=re.M | re.S))
    files = [path for path in sorted((PACKAGE / "my_lab").rglob("*.*")) if path.suffix in (".py", ".yaml")]
    expected = {path.relative_to(PACKAGE).as_posix(): path.read_text() for path in files if "__init__" not in path.name}
    assert shown == expected
