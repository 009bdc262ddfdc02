from __future__ import annotations

import io
from unittest.mock import Mock

import pytest
import pytorch_lightning as L
import torch
from rich.console import Console

from attnlab.data import Reverse
from attnlab.training.progress import ProgressLine, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0:00"), (59.6, "1:00"), (75.0, "1:15"), (3600.0, "1:00:00"), (7325.0, "2:02:05")]
)
def test_a_clock_reads_as_people_say_it(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def stand_in(**metrics: float) -> Mock:
    """As much of Lightning's trainer as the line looks at."""
    return Mock(
        spec=L.Trainer,
        global_step=0,
        estimated_stepping_batches=40,
        sanity_checking=False,
        callback_metrics={name.replace("_", "/", 1): torch.tensor(value) for name, value in metrics.items()},
    )


MODULE = Mock(spec=L.LightningModule)


def train_and_validate(line: ProgressLine, trainer: Mock, *, steps: int) -> None:
    line.on_train_start(trainer, MODULE)
    for step in range(1, steps + 1):
        trainer.global_step = step
        line.on_train_batch_end(trainer, MODULE, {"loss": torch.tensor(float(step))}, None, 0)
    line.on_validation_end(trainer, MODULE)


def test_where_there_is_no_terminal_each_validation_prints_a_line(reverse: Reverse) -> None:
    screen = io.StringIO()
    line = ProgressLine(reverse, Console(file=screen, width=120), log_every=4)
    train_and_validate(line, stand_in(val_exact_match=0.25), steps=10)
    # The loss is that of step 8, the last that was looked at.
    assert screen.getvalue().startswith("step 10/40 · train/loss 8.0000 · val/exact_match 0.2500 · 0:00 gone · ")
    assert screen.getvalue().endswith(" left\n")
    assert screen.getvalue().count("\n") == 1


def test_a_loss_that_was_not_looked_at_yet_is_a_dash(reverse: Reverse) -> None:
    screen = io.StringIO()
    line = ProgressLine(reverse, Console(file=screen, width=120), log_every=20)
    train_and_validate(line, stand_in(val_exact_match=0.25), steps=3)
    assert "train/loss – · val/exact_match 0.2500" in screen.getvalue()


def test_a_trial_validation_says_nothing(reverse: Reverse) -> None:
    screen = io.StringIO()
    line = ProgressLine(reverse, Console(file=screen, width=120), log_every=20)
    trainer = stand_in(val_exact_match=0.25)
    trainer.sanity_checking = True
    train_and_validate(line, trainer, steps=1)
    train_and_validate(line, stand_in(), steps=1)  # and neither does one without the metric
    assert screen.getvalue() == ""


@pytest.mark.parametrize("ending", ["on_train_end", "on_exception"])
def test_a_terminal_has_a_bar_until_training_ends(reverse: Reverse, ending: str) -> None:
    screen = io.StringIO()
    line = ProgressLine(reverse, Console(file=screen, width=120, force_terminal=True), log_every=2)
    trainer = stand_in(val_exact_match=0.25)
    train_and_validate(line, trainer, steps=10)
    assert line.bar is not None
    line.on_train_batch_end(trainer, MODULE, {"loss": torch.tensor(7.0)}, None, 0)
    if ending == "on_train_end":
        line.on_train_end(trainer, MODULE)
    else:
        line.on_exception(trainer, MODULE, RuntimeError())
    assert line.bar is None
    assert "10/40" in screen.getvalue()
    assert "train/loss 7.0000 · val/exact_match 0.2500" in screen.getvalue()
