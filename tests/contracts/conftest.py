"""Cells of the table of combinations, found by their choices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from omegaconf import DictConfig

from attnlab.matrix import Combination


@pytest.fixture(scope="session")
def cell_of(cells: list[Combination]) -> Callable[..., Combination]:
    """The first cell that has these choices: cell_of(data="tsp", encoder="gru")."""

    def find(data: str | None = None, **choices: str) -> Combination:
        return next(
            cell for cell in cells if choices.items() <= cell.choices.items() and (data is None or data in cell.alike)
        )

    return find


@pytest.fixture(scope="session")
def part_of(cell_of: Callable[..., Combination]) -> Callable[..., object]:
    """A part's recipe, as Hydra makes it: part_of("encoder", encoder="gru")."""
    from hydra.utils import instantiate

    def make(part: str, **choices: str) -> object:
        node: DictConfig = cell_of(**choices).nodes[part]
        return instantiate(node, _convert_="all")

    return make
