"""The inner loops that cost the most, in C, for a CPU in float32. Each has a plain form in torch as reference."""

from attnlab.kernels.additive import additive_scores, relu_scores
from attnlab.kernels.build import NoKernels, available, kernels
from attnlab.kernels.history import HistoryScore, history_rnn

__all__ = ["HistoryScore", "NoKernels", "additive_scores", "available", "history_rnn", "kernels", "relu_scores"]
