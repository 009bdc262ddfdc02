"""What stands at the rows and columns of a map of attention: tokens, dates, cities; numbers where nothing has a name.

No torch here, and no drawing: who reads a record uses it as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Places(NamedTuple):
    """Names of the rows and columns of a map. It may be larger: what has no name is padding.

    Args:
        first_query: where the first query stands on the axis of the items.
    """

    rows: list[str]
    row_title: str
    columns: list[str]
    column_title: str
    first_query: int = 0


def places_of(
    site: str,
    shape: tuple[int, int],
    length: int,
    inputs: Sequence[str],
    said: Sequence[str],
    variables: Sequence[str] = (),
    first_items: Sequence[str] = (),
) -> Places:
    """Names for a map [queries, items] of a site.

    Args:
        length: of the inputs in their batch, padding included.
        inputs: what stands at each real position of the input.
        said: what was answered at each step.
        variables: their names, where a state belongs to a variable and not to a position.
        first_items: what a head can look at before the input.
    """
    if variables:
        names = list(variables)
        if site.startswith("head"):
            return Places(list(said), "said", names, "variable")
        return Places(names, "variable", names, "variable")
    if site.startswith("head"):
        return _places_of_head(shape, length + len(first_items), [*first_items, *inputs], list(said))
    return _places_of_encoder(shape, length, list(inputs), list(said))


def _places_of_head(shape: tuple[int, int], length: int, inputs: list[str], said: list[str]) -> Places:
    """What was said at each step, and the input; numbers for memory slots."""
    queries, items = shape
    rows, row_title = (said, "said") if len(said) <= queries else (_numbers(queries), "step")
    columns, column_title = (inputs, "read") if items == length else (_numbers(items), "slot")
    return Places(rows, row_title, columns, column_title)


def _places_of_encoder(shape: tuple[int, int], length: int, inputs: list[str], said: list[str]) -> Places:
    """The input on both; numbers for the nodes of a tree and the items of a window."""
    queries, items = shape
    rows, row_title, first = _numbers(queries), "step", 0
    if queries == length:
        rows, row_title = inputs, "position"
    elif queries == items < length:  # a whole history: the first positions have nothing to look back at
        first = length - queries
        rows, row_title = inputs[first:], "position"
    if items in (length, queries):
        return Places(rows, row_title, inputs[:items], "read", first)
    return Places(rows, row_title, _numbers(items), "item", first)


def _numbers(count: int) -> list[str]:
    return [str(number + 1) for number in range(count)]
