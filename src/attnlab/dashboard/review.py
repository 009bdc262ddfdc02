"""What people think of a run: review.json in its folder, beside the record and never part of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from attnlab.errors import UserError
from attnlab.runs.record import write_json

REVIEW = "review.json"
NOTHING: dict[str, Any] = {"hidden": False, "pinned": False, "tags": [], "note": ""}
LONGEST_NOTE = 20_000
#: Two changes that arrive together, such as tags and a note, must both be kept.
_WRITING = threading.Lock()


def read_review(folder: Path) -> dict[str, Any]:
    """Of a run; that of nobody where there is none or it is damaged."""
    try:
        content = json.loads((folder / REVIEW).read_text(encoding="utf-8"))
        return _checked({**NOTHING, **content})
    except (OSError, ValueError, TypeError):
        return dict(NOTHING)


def write_review(folder: Path, changes: Any) -> dict[str, Any]:
    """Changes some of it, on the disk; the whole of it afterwards.

    Raises:
        UserError: there is no such entry, or its value is of another kind.
    """
    if not isinstance(changes, dict):
        raise UserError(f"a review is an object with {', '.join(NOTHING)}, not {changes!r}")
    with _WRITING:
        review = _checked({**read_review(folder), **changes})
        if review == NOTHING:
            (folder / REVIEW).unlink(missing_ok=True)
        else:
            write_json(folder / REVIEW, review)
    return review


def _checked(review: dict[str, Any]) -> dict[str, Any]:
    unknown = review.keys() - NOTHING.keys()
    if unknown:
        raise UserError(f"a review has no {', '.join(sorted(unknown))}; it has {', '.join(NOTHING)}")
    for key, nothing in NOTHING.items():
        if type(review[key]) is not type(nothing):
            raise UserError(f"{key} of a review must be a {type(nothing).__name__}, not {review[key]!r}")
    if not all(isinstance(tag, str) and tag and not set(tag) & set(", \t\n") for tag in review["tags"]):
        raise UserError(f"tags {review['tags']!r} must be words without spaces and commas")
    if len(review["note"]) > LONGEST_NOTE:
        raise UserError(f"the note has {len(review['note']):,} characters; {LONGEST_NOTE:,} are enough")
    return {**review, "tags": list(dict.fromkeys(review["tags"]))}
