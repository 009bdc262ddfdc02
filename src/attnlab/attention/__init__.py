from attnlab.attention.base import Attended, Attention, AttentionRecipe, Memory
from attnlab.attention.fixed import Last, NoAttention, Uniform
from attnlab.attention.scored import ScoredAttention

__all__ = [
    "Attended",
    "Attention",
    "AttentionRecipe",
    "Last",
    "Memory",
    "NoAttention",
    "ScoredAttention",
    "Uniform",
]
