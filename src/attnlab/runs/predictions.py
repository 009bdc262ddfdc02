"""Reads what a run answered to its test examples: predictions/ of a record. Neither torch nor the data are needed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from attnlab.errors import UserError
from attnlab.runs import record
from attnlab.runs.maps import packed, read_description

#: What of the errors of the other examples a band shows.
BAND = (0.1, 0.9)
#: With fewer other examples a band would say nothing.
LEAST_FOR_BAND = 8


class PredictionRecord:
    """The kept test examples of one run.

    Raises:
        UserError: there are none, or they cannot be read.
    """

    def __init__(self, run: Path) -> None:
        self.folder = run / record.PREDICTIONS
        file = self.folder / "test.npz"
        if not file.is_file():
            raise UserError(f"{run.name} has no predictions; they are kept when a training has finished")
        try:
            with np.load(file) as stored:
                self.arrays = {name: stored[name] for name in stored.files}
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"{file.name} of {run.name} is broken and cannot be read ({error})") from None
        self.described = read_description(self.folder / "test.json")
        if not self.described:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in self.arrays.items())
            raise UserError(
                f"{run.name} was recorded before predictions were described, so nobody knows what its numbers mean "
                f"({shapes}); train it again to see them here"
            )

    @property
    def kind(self) -> str:
        """What is shown: forecast, tour, hull, triangulation, label, number, step labels or sequence."""
        output = str(self.described["output"])
        if "draws" not in self.described and output == "pointer sequence" and self.arrays["inputs"].shape[-1] == 2:
            return "tour"  # a record from before there were others
        if self.described.get("draws"):
            return str(self.described["draws"])
        return "sequence" if output in ("token sequence", "pointer sequence") else output

    @property
    def _first_items(self) -> list[str]:
        """What the head could look at before the input: the end of an answer that points at it."""
        return list(self.described.get("first_items", []))

    def overview(self) -> dict[str, Any]:
        """What there is to choose from, the worst answers first."""
        key, rising = self.described["key_metric"], self.described["key_mode"] == "max"

        examples = self.described["examples"]
        others = [name for name in dict.fromkeys(name for one in examples for name in one["scores"]) if name != key]

        def badness(position: int) -> tuple[float, ...]:
            scores = examples[position]["scores"]
            judged = scores.get(key)
            first = -np.inf if judged is None else -judged if rising else judged
            # What has not even such a score, such as an area that is none, is worse than what has one.
            rest = [np.inf if value is None else -value if rising else value for value in map(scores.get, others)]
            return (first, *rest)

        order = sorted(range(len(examples)), key=badness, reverse=True)
        return {
            "kind": self.kind,
            "split": self.described["split"],
            "metric": key,
            "rising": rising,
            "variables": [variable["name"] for variable in self.described["variables"]],
            "examples": [
                {"position": position, **{name: examples[position][name] for name in ("index", "scores", "question")}}
                | {"begins": (examples[position]["asked"] or [""])[0]}
                for position in order
            ],
            "looked": self.described["looked"],
        }

    def example(self, position: int, variable: int = 0) -> dict[str, Any]:
        """One example, ready to be drawn.

        Raises:
            UserError: there is no such example or variable.
        """
        count = len(self.described["examples"])
        if not 0 <= position < count:
            raise UserError(f"{count} test examples were kept, counted from 0; there is no {position}")
        about = self.described["examples"][position]
        shared = {"scores": about["scores"], "question": about["question"], "looked": self._looked(position)}
        if self.kind == "forecast":
            return {**shared, **self._forecast(position, variable)}
        if self.kind in ("tour", "hull", "triangulation"):
            return {**shared, **self._drawing(position)}
        return {**shared, **self._sequence(position)}

    def _forecast(self, position: int, variable: int) -> dict[str, Any]:
        variables = self.described["variables"]
        if not 0 <= variable < len(variables):
            raise UserError(f"{len(variables)} variables are forecast, counted from 0; there is no {variable}")
        mean, scale = variables[variable]["mean"], variables[variable]["scale"]
        about = self.described["examples"][position]
        real = self.arrays["target_mask"][position, :, variable]
        truth, forecast, past = (
            self.arrays[name][position, :, variable].astype(float) * scale + mean
            for name in ("targets", "predictions", "inputs")
        )
        band = self.errors(position, variable)
        return {
            "variable": variables[variable]["name"],
            "past": [
                {"time": time, "value": value} for time, value in zip(about["inputs"], past.tolist(), strict=True)
            ],
            "future": [
                {
                    "time": time,
                    "truth": truth[step] if real[step] else None,
                    "forecast": forecast[step],
                    "low": None if band is None else forecast[step] + band[0, step],
                    "high": None if band is None else forecast[step] + band[1, step],
                }
                for step, time in enumerate(about["asked"])
            ],
            "band": None if band is None else {"share": BAND[1] - BAND[0], "examples": len(self.arrays["targets"]) - 1},
        }

    def errors(self, position: int, variable: int) -> np.ndarray | None:
        """What to add to a forecast at each step, [low and high, horizon], by the errors of the other examples.

        It is an empirical band and not the model's own: between these quantiles lies the error, truth less forecast, of
        the other kept test examples at the same step. None where they are too few.
        """
        others = np.arange(len(self.arrays["targets"])) != position
        if others.sum() < LEAST_FOR_BAND:
            return None
        errors = (self.arrays["targets"] - self.arrays["predictions"])[others, :, variable].astype(float)
        errors[~self.arrays["target_mask"][others, :, variable]] = np.nan
        if np.isnan(errors).all(0).any():
            return None
        return np.nanquantile(errors, BAND, axis=0) * float(self.described["variables"][variable]["scale"])

    def _sequence(self, position: int) -> dict[str, Any]:
        about = self.described["examples"][position]
        inputs, said, asked = about["inputs"], about["said"], about["asked"]
        real = self.arrays["target_mask"][position].reshape(-1)
        if self.kind == "number":
            steps = [{"said": said[0], "asked": asked[0], "right": None}]
        else:
            right = self._right(position)
            judged = np.flatnonzero(real).tolist() if self.kind != "step labels" else range(len(asked))
            steps = [
                {
                    "said": said[step] if step < len(said) else "",
                    "asked": asked[step],
                    "right": bool(right[step]) if real[step] else None,
                }
                for step in judged
            ]
        if self.described["output"] == "pointer sequence":  # numbers that are pointed at
            inputs = [f"{value:.3f}" for value in self.arrays["inputs"][position, : len(inputs), 0]]
            names = dict(zip(about["inputs"], inputs, strict=True))
            steps = [{**step, **{key: names.get(step[key], step[key]) for key in ("said", "asked")}} for step in steps]
        return {"inputs": inputs, "steps": steps}

    def _right(self, position: int) -> np.ndarray:
        """Which steps are right; an answer may have ended too early."""
        targets, said = (self.arrays[name][position].reshape(-1) for name in ("targets", "predictions"))
        right = np.zeros(len(targets), dtype=bool)
        common = min(len(targets), len(said))
        right[:common] = said[:common] == targets[:common]
        return right

    def _drawing(self, position: int) -> dict[str, Any]:
        """A tour, hull or triangulation in pieces: legs or triangles, each known after so many steps."""
        said, asked = (self._steps(name, position) for name in ("predictions", "targets"))
        true = self._pieces(asked)
        known = {frozenset(piece) for piece in true}
        count = int(self.arrays["input_mask"][position].sum())
        return {
            "points": self.arrays["inputs"][position, :count].astype(float).round(5).tolist(),
            "first_items": self._first_items,
            "said": said,
            "pieces": [
                {"places": piece, "right": frozenset(piece) in known, "after": after}
                for piece, after in zip(self._pieces(said), self._known_after(said), strict=False)
            ],
            "true_pieces": true,
        }

    def _known_after(self, steps: list[int]) -> Iterator[int]:
        """How many steps each piece takes: a triangle its three, a leg those to its other end, the last one all."""
        if self.kind == "triangulation":
            return iter(range(3, len(steps) + 1, 3))
        places = sum(place >= 0 for place in steps)
        return chain(range(2, places + 1), [len(steps)])

    def _steps(self, name: str, position: int) -> list[int]:
        """The places of an answer in order, with its end where it has one; the end stands below 0."""
        steps: list[int] = self.arrays[name][position].tolist()
        if not self._first_items:
            return steps[: int(self.arrays["target_mask"][position].sum())]
        return steps[: next((step + 1 for step, place in enumerate(steps) if place < 0), len(steps))]

    def _pieces(self, steps: list[int]) -> list[list[int]]:
        """The legs of a closed way, or the triangles: all whole ones."""
        places = [place for place in steps if place >= 0]
        if self.kind == "triangulation":
            return [places[start : start + 3] for start in range(0, len(places) - 2, 3)]
        return [list(leg) for leg in closed(places)] if len(places) > 1 else []

    @cached_property
    def _maps(self) -> dict[str, np.ndarray]:
        file = self.folder / "attention.npz"
        try:
            with np.load(file) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, zipfile.BadZipFile):
            return {}

    def _looked(self, position: int) -> dict[str, Any]:
        """What each site of the head looked at, step by step, without padding; nothing where it was not kept."""
        if position not in self.described["looked"]:
            return {}
        row = self.described["looked"].index(position)
        about, length = self.described["examples"][position], self.described["padded_length"]
        first = self._first_items
        shown = {}
        for site, weights in self._maps.items():
            steps, items = weights[row].shape
            if items == len(first) + length:  # else it looks at slots of a memory, which have no names
                named = len(about["said"] if first else about["asked"])
                kept = weights[row][: min(steps, max(1, named)), : len(first) + len(about["inputs"])]
                shown[site] = packed(kept)
        return shown


def closed(order: list[int]) -> list[tuple[int, int]]:
    """The edges of a closed way through places in this order."""
    return list(zip(order, order[1:] + order[:1], strict=True))
