from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from attnlab.attention import AttentionRecipe
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head, last_place
from attnlab.heads.losses import class_loss, criterion, value_loss
from attnlab.heads.queries import FinalQuery, LearnedQuery, QuestionQuery
from attnlab.spec import Forecast, Label, Number, Output

QUERIES = {"final": FinalQuery, "learned": LearnedQuery}


class Pool(Head):
    """One context for the whole input: y = R φ(q + H u) with u = Σ p_j h_j, p = attention(q, h).

    Henaff et al. 2017, arXiv:1612.03969, eq. 3, where q is the encoded question and h_j are the memory's slots; φ is a
    PReLU with a slope per channel, H and R have no bias. Our query is their q: the question, where the data ask one
    (brought to the states' width where it has another), else W final + b or one learned vector. Since it is added as
    well, it is trained even by an attention that does not look at it, such as feedforward. It stands at the last
    real item.

    With attention=none there is nothing to sum. Then y = R φ(q) where q comes from the final state, and otherwise the
    final state takes the sum's place, y = R φ(q + H final): without it the input would not be seen at all.

    A forecast is the last observed value and what y adds to it, all steps at once.

    Args:
        query: final or learned; None for the question where the data ask one, and final elsewhere.
        slope: of φ below zero, at the start (the paper's 1 makes it the identity).
        init_std: weights of this head start at N(0, init_std²), the paper's 0.1; None for torch's defaults. The
            attention's own weights start as they always do.
        loss: mae, mse or huber for a forecast or a number; None for huber on forecasts, mse on numbers, and the
            cross-entropy on labels, which have no other.
        attention: recipe of the look.
        question_dim: width of the question; None where there is none.

    Raises:
        ValueError: an unknown query or loss, a query beside a question, or a loss for labels.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (Forecast, Label, Number)
    answers_questions: ClassVar[bool] = True

    def __init__(
        self,
        output: Forecast | Label | Number,
        state_dim: int,
        *,
        attention: AttentionRecipe,
        query: str | None = None,
        slope: float = 1.0,
        init_std: float | None = None,
        loss: str | None = None,
        question_dim: int | None = None,
    ) -> None:
        super().__init__()
        if isinstance(output, Label) and loss is not None:
            raise ValueError(f"head.loss={loss} has no effect on labels, whose loss is the cross-entropy; leave it out")
        self.output = output
        self.query = _query_for(query, state_dim, question_dim)
        self.attention = attention(state_dim, state_dim, state_dim)
        if self.attention.attends:
            self.join: nn.Linear | None = nn.Linear(self.attention.context_dim, state_dim, bias=False)  # H
        elif isinstance(self.query, FinalQuery):
            self.join = None
        else:
            self.join = nn.Linear(state_dim, state_dim, bias=False)
        self.activation = nn.PReLU(state_dim, init=slope)
        self.readout = nn.Linear(state_dim, _num_values(output), bias=False)  # R
        self.criterion = None if isinstance(output, Label) else criterion(loss or _usual_loss(output))
        if init_std is not None:
            self._start_at(init_std)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        joined = query = self.query(encoded)  # [B, state_dim]
        if self.join is not None:
            joined = query + self.join(self._context(query, encoded))
        values = self.readout(self.activation(joined))
        if isinstance(self.output, Forecast):
            last_observed = inputs[:, -1:, list(self.output.target_channels)]
            return last_observed + values.unflatten(1, (self.output.horizon, -1))
        return values[:, None]

    def _context(self, query: Tensor, encoded: Encoded) -> Tensor:
        if not self.attention.attends:
            return encoded.final
        places = last_place(encoded.mask)
        attended = self.attention(query[:, None], encoded.states, mask=encoded.mask, places=places, context_only=True)
        return attended.context.squeeze(1)

    def _start_at(self, init_std: float) -> None:
        if init_std <= 0:
            raise ValueError(f"head.init_std={init_std} must be above 0; leave it out for torch's defaults")
        for name, parameter in self.named_parameters():
            if not name.startswith(("attention.", "activation.")):
                nn.init.normal_(parameter, std=init_std)

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        if self.criterion is None:
            return class_loss(predictions, batch)
        return value_loss(self.criterion, predictions, batch)

    def decode(self, predictions: Tensor) -> Tensor:
        return predictions.argmax(-1) if isinstance(self.output, Label) else predictions


def _query_for(query: str | None, state_dim: int, question_dim: int | None) -> nn.Module:
    if query is not None and query not in QUERIES:
        raise ValueError(f"head.query={query} is not known; choose one of {', '.join(QUERIES)}")
    if question_dim is None:
        return QUERIES[query or "final"](state_dim)
    if query is not None:
        raise ValueError(f"head.query={query} has no effect where the data ask a question; leave it out")
    return QuestionQuery(question_dim, state_dim)


def _num_values(output: Forecast | Label | Number) -> int:
    if isinstance(output, Forecast):
        return output.horizon * len(output.target_channels)
    return output.num_classes if isinstance(output, Label) else 1


def _usual_loss(output: Forecast | Number) -> str:
    return "huber" if isinstance(output, Forecast) else "mse"
