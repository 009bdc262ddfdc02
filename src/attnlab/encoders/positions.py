from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def sinusoidal_positions(length: int, dim: int) -> Float[Tensor, "length dim"]:
    """sin(t / 10000^{2i/dim}) beside cos of the same. Vaswani et al. 2017, arXiv:1706.03762, §3.5."""
    positions = torch.arange(length, dtype=torch.float32)[:, None]
    rates = torch.exp(-math.log(10_000) * torch.arange(0, dim, 2, dtype=torch.float32) / dim)
    encoding = torch.zeros(length, dim)
    encoding[:, 0::2] = torch.sin(positions * rates)
    encoding[:, 1::2] = torch.cos(positions * rates)[:, : dim // 2]
    return encoding
