"""See what a model attends to, without a flag in any forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from attnlab.attention.base import Attended, Attention


@contextmanager
def record_attention(model: nn.Module) -> Iterator[dict[str, list[Tensor]]]:
    """Collects, while the context is open, the weights [B, H, Q, K] of every site under its module name.

    A site that is called once per step (a decoder, a history) leaves one entry per call.
    """
    recorded: dict[str, list[Tensor]] = {}

    def keep(site: str) -> Callable[[nn.Module, object, Attended], None]:
        def hook(module: nn.Module, inputs: object, output: Attended) -> None:
            assert output.weights is not None  # a watched attention makes them
            recorded.setdefault(site, []).append(output.weights.detach())

        return hook

    handles = [
        module.register_forward_hook(keep(name))
        for name, module in model.named_modules()
        if isinstance(module, Attention) and module.attends
    ]
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()
