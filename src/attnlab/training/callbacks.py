"""What happens beside the training loop. Recipes from conf/callbacks are called with (record, data)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytorch_lightning as L
import torch
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from torch import Tensor

from attnlab.attention.recorder import record_attention
from attnlab.data.base import DataModule
from attnlab.runs import record as names
from attnlab.runs.record import RunRecord


def best_checkpoint(record: RunRecord, data: DataModule) -> ModelCheckpoint:
    """best.ckpt by the validation metric of the data."""
    return ModelCheckpoint(
        dirpath=record.path / names.CHECKPOINTS,
        filename="best",
        monitor=f"val/{data.key_metric}",
        mode=data.key_mode,
        auto_insert_metric_name=False,
        enable_version_counter=False,
    )


def last_checkpoint(record: RunRecord) -> ModelCheckpoint:
    """last.ckpt after every validation. Lightning's save_last writes one only where the best has changed as well."""
    return ModelCheckpoint(dirpath=record.path / names.CHECKPOINTS, filename="last", enable_version_counter=False)


def early_stopping(record: RunRecord, data: DataModule, *, patience: int) -> EarlyStopping:
    """Ends training when the validation metric has not improved for `patience` validations."""
    return EarlyStopping(monitor=f"val/{data.key_metric}", mode=data.key_mode, patience=patience)


class ValidateAtTheEnd(L.Callback):
    """Validates after the last step also where trainer.max_steps ends training in the middle of an epoch.

    Lightning would stop without a look, and the best checkpoint would miss the last steps, or not exist at all.
    """

    def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # a stop that was asked for is validated first


class AttentionMaps(L.Callback):
    """Stores the weights of every site for a few fixed validation examples: attention/epoch_003.npz.

    Each array is named by its site and is [examples, heads, queries, items]. Where a site is called once per step, its
    calls stand below each other, and items that did not exist yet have weight 0.

    Args:
        num_examples: evenly spaced over the validation part.
    """

    def __init__(self, record: RunRecord, data: DataModule, *, num_examples: int) -> None:
        self.record = record
        self.data = data
        self.num_examples = num_examples

    @rank_zero_only
    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.sanity_checking:
            return
        batch = examples(self.data, "val", self.num_examples).to(pl_module.device)
        maps = attention_maps(pl_module.model, batch)
        if maps:
            path = self.record.folder(names.ATTENTION) / f"epoch_{trainer.current_epoch:03d}.npz"
            np.savez_compressed(path, **maps)  # type: ignore[arg-type]


def examples(data: DataModule, split: Any, count: int) -> Any:
    """A batch of examples spread evenly over a split, the same ones each time."""
    source = data.source(split)
    return source[np.unique(np.linspace(0, len(source) - 1, min(count, len(source))).round().astype(int))]


@torch.no_grad()
def attention_maps(model: Any, batch: Any) -> dict[str, np.ndarray]:
    """The weights of every site while the model answers a batch: site → [B, H, Q, K] in float16."""
    training = model.training
    model.eval()
    with record_attention(model) as recorded:
        model.answer(batch)
    model.train(training)
    return {site: _below_each_other(calls).half().cpu().numpy() for site, calls in recorded.items()}


def _below_each_other(calls: list[Tensor]) -> Tensor:
    widest = max(weights.shape[-1] for weights in calls)
    return torch.cat([torch.nn.functional.pad(weights, (0, widest - weights.shape[-1])) for weights in calls], dim=2)
