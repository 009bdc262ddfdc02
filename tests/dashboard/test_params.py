from __future__ import annotations

import pytest

from attnlab.dashboard.params import whole_number
from attnlab.errors import UserError


def test_a_whole_number_is_read_from_an_address() -> None:
    assert whole_number({"epoch": "12"}, "epoch") == 12


@pytest.mark.parametrize(("params", "complaint"), [({}, "lacks epoch"), ({"epoch": "2.5"}, "epoch=2.5")])
def test_what_is_none_is_refused(params: dict[str, str], complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        whole_number(params, "epoch")
