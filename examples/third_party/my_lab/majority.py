from typing import Any

import numpy as np

from attnlab.batch import Batch
from attnlab.data.generated import StepToy, step_batch


class Majority(StepToy):
    """Which symbol occurred most often? Asked at the last position; of equals, the lowest symbol counts.

    input    3 1 3 2 3 . .
    target           3
    """

    def __init__(self, *, num_symbols: int, **options: Any) -> None:
        super().__init__(**options)
        self.num_symbols = num_symbols

    @property
    def vocab_size(self) -> int:
        return 1 + self.num_symbols  # 0 is padding

    @property
    def num_classes(self) -> int:
        return 1 + self.num_symbols

    def examples(self, random: np.random.Generator, lengths: np.ndarray) -> Batch:
        position = np.arange(lengths.max())
        real = position < lengths[:, None]
        symbols = random.integers(1, self.num_symbols, (len(lengths), len(position)), endpoint=True) * real
        counts = (symbols[..., None] == np.arange(1, 1 + self.num_symbols)).sum(1)
        most = 1 + counts.argmax(1)
        return step_batch(symbols, real, np.broadcast_to(most[:, None], real.shape), position == lengths[:, None] - 1)
