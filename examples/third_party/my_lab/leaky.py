import torch
from torch import Tensor, nn

from attnlab.encoders import Encoded, Encoder
from attnlab.encoders.base import last_state
from attnlab.spec import DataSpec


class Leaky(Encoder):
    """h_t = λ h_{t-1} + (1 - λ) tanh(W x_t + b): each unit forgets at a rate of its own, which is learned.

    Args:
        hidden_dim: width of the states.
    """

    def __init__(self, input_dim: int, spec: DataSpec, *, hidden_dim: int) -> None:
        super().__init__(input_dim, spec)
        self.linear = nn.Linear(input_dim, hidden_dim)
        self.rate = nn.Parameter(torch.linspace(-2, 4, hidden_dim))  # λ = σ(rate): from a step to fifty
        self.output_dim = hidden_dim

    def forward(self, inputs: Tensor, mask: Tensor) -> Encoded:
        decay = torch.sigmoid(self.rate)
        fresh = (1 - decay) * torch.tanh(self.linear(inputs))  # [B, T, hidden_dim]
        state, states = torch.zeros_like(fresh[:, 0]), []
        for step in fresh.unbind(1):
            state = decay * state + step
            states.append(state)
        together = torch.stack(states, dim=1)
        return Encoded(together, mask, last_state(together, mask))
