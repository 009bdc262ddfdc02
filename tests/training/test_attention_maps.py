"""What a trained model looked at, from the command line to the picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from attnlab.cli import run
from attnlab.data import Reverse

LENGTH = 6
SIZES = {"num_train": 12_800, "num_val": 64, "num_test": 64}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A decoder that has learned to reverse, with its maps."""
    path = tmp_path_factory.mktemp("maps") / "run"
    overrides = ["data=reverse", f"data.length={LENGTH}", "encoder=gru", "encoder.bidirectional=true", "dim=32"]
    overrides += [f"data.{name}={size}" for name, size in SIZES.items()]
    overrides += ["optimizer.lr=0.01", "trainer=cpu", "trainer.max_epochs=2", "callbacks=attention_maps"]
    assert run(["train", *overrides, f"hydra.run.dir={path}"]) == 0
    return path


def test_reversing_looks_along_the_anti_diagonal(trained: Path) -> None:
    with np.load(sorted((trained / "attention").glob("*.npz"))[-1]) as stored:
        weights = stored["head.attention"].astype(float)  # [examples, heads, steps, items]
    assert weights.shape[2] >= LENGTH
    looked_at = weights[:, 0, :LENGTH].argmax(-1)
    np.testing.assert_array_equal(looked_at, np.broadcast_to(np.arange(LENGTH)[::-1], looked_at.shape))
    assert weights[:, 0, range(LENGTH), range(LENGTH - 1, -1, -1)].mean() > 0.6


def test_the_picture_is_dark_along_the_anti_diagonal(trained: Path) -> None:
    picture = np.asarray(Image.open(trained / "plots" / "attention_head.attention.png").convert("L")).astype(float)
    dark = np.argwhere(picture < 60)  # cells of much weight, and letters, which are few
    assert np.corrcoef(dark[:, 0], dark[:, 1])[0, 1] < -0.5  # further down is further left


def test_its_axes_are_the_tokens(trained: Path) -> None:
    data = Reverse(length=LENGTH, num_symbols=10, test_lengths=[], batch_size=64, seed=1, **SIZES)
    source, target = data.input_labels("val", 0), data.source("val")[np.array([0])].targets[0]
    assert data.answer_labels("val", 0, target) == [*source[::-1], "■"]
