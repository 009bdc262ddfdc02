"""Reads what a run looked at: attention/ of a record. Neither torch nor the data are needed."""

from __future__ import annotations

import base64
import json
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from attnlab.errors import UserError
from attnlab.plots.places import Places, places_of
from attnlab.runs import record

EPOCH_FILE = re.compile(r"epoch_(\d+)\.npz")


@dataclass(frozen=True)
class Site:
    """A place where a model attends, and the size of its maps, padding included."""

    name: str
    heads: int
    queries: int
    items: int


class AttentionRecord:
    """The maps of one run, epoch by epoch."""

    def __init__(self, run: Path) -> None:
        self.folder = run / record.ATTENTION
        files = self.folder.iterdir() if self.folder.is_dir() else []
        #: epoch → file
        self.files = {int(found[1]): file for file in sorted(files) if (found := EPOCH_FILE.fullmatch(file.name))}
        #: Empty in records from before examples were described.
        self.described = read_description(self.folder / "examples.json")

    @property
    def epochs(self) -> list[int]:
        return sorted(self.files)

    def sites(self) -> list[Site]:
        return [Site(name, *shape[1:]) for name, shape in self._latest_shapes().items()]

    def num_examples(self) -> int:
        return next((shape[0] for shape in self._latest_shapes().values()), 0)

    def _latest_shapes(self) -> dict[str, tuple[int, ...]]:
        """site → [examples, heads, queries, items], of the latest epoch that can be read: one may be half-written."""
        for epoch in reversed(self.epochs):
            try:
                return _shapes(self.files[epoch])
            except (OSError, ValueError, zipfile.BadZipFile):
                continue
        return {}

    def overview(self) -> dict[str, Any]:
        """What there is to choose from."""
        examples = self.described.get("examples") or [
            {"index": None, "inputs": [], "question": None} for _ in range(self.num_examples())
        ]
        return {
            "epochs": self.epochs,
            "sites": [vars(site) for site in self.sites()],
            "described": bool(self.described),
            "split": self.described.get("split", "val"),
            "examples": examples,
        }

    def weights(
        self, epoch: int, site: str, example: int, head: int | None = None
    ) -> tuple[Float[np.ndarray, "queries items"], Places]:
        """One example's map, without padding, and what stands at its rows and columns.

        Args:
            head: None for the mean over all.

        Raises:
            UserError: there is no such map, or its file is broken.
        """
        file = self.files.get(epoch)
        if file is None:
            kept = ", ".join(map(str, self.epochs)) or "no epoch"
            raise UserError(f"no weights were kept for epoch {epoch}, but for {kept}; choose one of those")
        try:
            with np.load(file) as stored:
                if site not in stored:
                    raise UserError(f"{site} is no site of this run; it has {', '.join(stored.files)}")
                weights = stored[site]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{file.name} is broken or half-written and cannot be read ({error})") from None
        examples, heads = weights.shape[:2]
        if not 0 <= example < examples or not (head is None or 0 <= head < heads):
            raise UserError(f"{site} has {examples} examples and {heads} heads, counted from 0; choose one of those")
        one = weights[example].astype(np.float32)
        shown = one.mean(0) if head is None else one[head]
        places = self._places(epoch, site, shown.shape, example)
        return shown[: len(places.rows), : len(places.columns)], places

    def map(self, epoch: int, site: str, example: int, head: int | None = None) -> dict[str, Any]:
        """One example's map as plain values: names, weights, and what they amount to."""
        shown, places = self.weights(epoch, site, example, head)
        return {
            "rows": places.rows,
            "row_title": places.row_title,
            "columns": places.columns,
            "column_title": places.column_title,
            "weights": packed(shown),
            "entropy": entropy(shown),
            "distance": distance_profile(shown, places.first_query) if self._has_distances(places) else None,
        }

    def _places(self, epoch: int, site: str, shape: tuple[int, int], example: int) -> Places:
        if not self.described:
            rows, columns = ([str(number + 1) for number in range(count)] for count in shape)
            return Places(rows, "query", columns, "item")
        length, inputs = self.described["padded_length"], self.described["examples"][example]["inputs"]
        said = read_description(self.files[epoch].with_suffix(".json")).get("said")
        steps = said[example] if said else [str(step + 1) for step in range(shape[0])]
        variables, first_items = (self.described.get(name, ()) for name in ("variables", "first_items"))
        places = places_of(site, shape, length, inputs, steps, variables, first_items)
        if (
            self.described.get("input") == "series" and places.row_title == "said"
        ):  # forecasts stand behind what is read
            return places._replace(first_query=len(inputs), row_title="forecast for")
        return places

    def _has_distances(self, places: Places) -> bool:
        """Items of a set, slots and nodes are neither near nor far."""
        return self.described.get("input") != "points" and places.column_title in ("read", "item")


def entropy(weights: Float[np.ndarray, "queries items"]) -> list[float | None]:
    """Of each query, in bits: 0 looks at one item, log2 n at n of them alike. None for one that looks at nothing."""
    total = weights.sum(1, keepdims=True)
    share = weights / np.where(total > 0, total, 1)
    bits = -(share * np.log2(np.where(share > 0, share, 1))).sum(1)
    return [round(float(value), 4) if some else None for value, some in zip(bits, total[:, 0] > 0, strict=True)]


def distance_profile(weights: Float[np.ndarray, "queries items"], first_query: int = 0) -> list[dict[str, Any]]:
    """How much is looked at how far away: the mean weight over the queries that have an item at that distance.

    A distance is the item's place less the query's: negative is before. Queries that look at nothing are left out.

    Args:
        first_query: the first query's place on the axis of the items.
    """
    queries, items = weights.shape
    looks = weights.sum(1) > 0
    distances = np.arange(items)[None] - np.arange(first_query, first_query + queries)[:, None]
    bins = (distances - distances.min())[looks].ravel()
    sums, counts = np.bincount(bins, weights[looks].ravel()), np.bincount(bins)
    return [
        {"distance": int(place + distances.min()), "weight": round(float(total / count), 6)}
        for place, (total, count) in enumerate(zip(sums, counts, strict=True))
        if count
    ]


def packed(weights: Float[np.ndarray, "queries items"]) -> dict[str, Any]:
    """A map as text: 16 bits a cell, little-endian, row by row; 0 is `low` and 65535 is `high`."""
    finite = np.nan_to_num(weights.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = min(0.0, float(finite.min(initial=0))), float(finite.max(initial=0))
    cells = np.rint((finite - low) / ((high - low) or 1) * 65535).astype("<u2")
    return {
        "shape": list(weights.shape),
        "low": low,
        "high": high,
        "cells": base64.b64encode(cells.tobytes()).decode(),
    }


def read_description(file: Path) -> dict[str, Any]:
    """A JSON object; an empty one where an older record has none, or it is damaged."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _shapes(file: Path) -> dict[str, tuple[int, ...]]:
    """Of the arrays of an .npz, without unpacking them."""
    shapes = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as stream:
                version = np.lib.format.read_magic(stream)
                read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                shapes[name.removesuffix(".npy")] = read(stream)[0]
    return shapes
