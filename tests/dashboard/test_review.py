"""Notes beside a run record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from attnlab.dashboard.review import read_review, write_review
from attnlab.errors import UserError


def test_changes_are_kept_and_the_rest_stays(tmp_path: Path) -> None:
    write_review(tmp_path, {"tags": ["good", "paper", "good"]})
    write_review(tmp_path, {"note": "the third try"})
    assert read_review(tmp_path) == {
        "hidden": False,
        "pinned": False,
        "tags": ["good", "paper"],
        "note": "the third try",
    }


def test_changes_that_arrive_together_are_all_kept(tmp_path: Path) -> None:
    changes = [{"tags": ["paper"]}, {"note": "again"}, {"pinned": True}, {"hidden": True}]
    for number in range(20):
        folder = tmp_path / str(number)
        folder.mkdir()
        with ThreadPoolExecutor(len(changes)) as pool:
            list(pool.map(lambda change, folder=folder: write_review(folder, change), changes))
        assert read_review(folder) == {"hidden": True, "pinned": True, "tags": ["paper"], "note": "again"}


def test_a_review_of_nothing_leaves_no_file(tmp_path: Path) -> None:
    write_review(tmp_path, {"hidden": True})
    assert [file.name for file in tmp_path.iterdir()] == ["review.json"]
    write_review(tmp_path, {"hidden": False})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "changes", [{"stars": 5}, {"hidden": 1}, {"tags": "good"}, {"tags": ["two words"]}, {"note": None}, ["note"]]
)
def test_another_kind_of_change_is_refused(tmp_path: Path, changes: object) -> None:
    with pytest.raises(UserError):
        write_review(tmp_path, changes)
    assert list(tmp_path.iterdir()) == []
