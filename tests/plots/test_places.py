from __future__ import annotations

from attnlab.plots.places import places_of

INPUTS, SAID = ["a", "b", "c"], ["x", "y"]


def test_a_heads_rows_are_what_it_said_and_its_columns_what_was_read() -> None:
    places = places_of("head.attention", (4, 5), 5, INPUTS, SAID)  # padded: two items and two steps have no name
    assert places == (SAID, "said", INPUTS, "read", 0)


def test_slots_of_a_memory_have_numbers() -> None:
    places = places_of("head.attention", (2, 4), 5, INPUTS, SAID)
    assert (places.columns, places.column_title) == (["1", "2", "3", "4"], "slot")


def test_what_can_be_looked_at_before_the_input_has_its_name_in_a_head_alone() -> None:
    places = places_of("head.attention", (4, 6), 5, INPUTS, SAID, first_items=["■"])
    assert (places.columns, places.column_title) == (["■", *INPUTS], "read")
    places = places_of("encoder.layers.0.attention", (5, 5), 5, INPUTS, SAID, first_items=["■"])
    assert places.columns == INPUTS


def test_both_axes_of_self_attention_are_the_input() -> None:
    places = places_of("encoder.layers.0.attention", (5, 5), 5, INPUTS, SAID)
    assert (places.rows, places.columns, places.first_query) == (INPUTS, INPUTS, 0)


def test_a_history_begins_where_there_is_something_to_look_back_at() -> None:
    places = places_of("encoder.attention", (2, 2), 3, INPUTS, SAID)
    assert (places.rows, places.columns, places.first_query) == (["b", "c"], ["a", "b"], 1)


def test_nodes_of_a_tree_have_numbers() -> None:
    places = places_of("encoder.up", (2, 4), 5, INPUTS, SAID)
    assert (places.rows, places.row_title, places.columns, places.column_title) == (
        ["1", "2"],
        "step",
        ["1", "2", "3", "4"],
        "item",
    )


def test_where_states_belong_to_variables_both_axes_are_variables_and_a_heads_columns_are() -> None:
    places = places_of("encoder.layers.0.attention", (2, 2), 3, INPUTS, SAID, ["warm", "wet"])
    assert (places.rows, places.row_title, places.columns, places.column_title) == (
        ["warm", "wet"],
        "variable",
        ["warm", "wet"],
        "variable",
    )
    places = places_of("head.attention", (2, 2), 3, INPUTS, SAID, ["warm", "wet"])
    assert (places.rows, places.columns, places.column_title) == (SAID, ["warm", "wet"], "variable")
