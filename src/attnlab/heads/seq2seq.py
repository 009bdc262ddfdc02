from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from attnlab.attention import AttentionRecipe, Memory
from attnlab.batch import Batch
from attnlab.encoders.base import Encoded
from attnlab.heads.base import Head, masked_mean
from attnlab.heads.beam import beam_search
from attnlab.heads.coverage import Coverage, overlap
from attnlab.spec import END, PAD, Output, TokenSequence

STYLES = ("bahdanau", "luong")
CELLS: dict[str, type[nn.GRU] | type[nn.LSTM]] = {"gru": nn.GRU, "lstm": nn.LSTM}


class Progress(NamedTuple):
    """What a decoder remembers between two steps, a row for each sequence. What it has no use for has width 0."""

    hidden: Float[Tensor, "rows hidden_dim"]
    cell: Float[Tensor, "rows cell_dim"]
    fed: Float[Tensor, "rows fed_dim"]  # h~ of the step before, for input feeding
    coverage: Float[Tensor, "rows heads items"]
    overlap: Float[Tensor, " rows"]  # of the newest step's weights with that


class Seq2Seq(Head):
    """A recurrent decoder that looks at the encoder's states at each step, in one of two styles.

    *bahdanau*: Bahdanau et al. 2015, arXiv:1409.0473, §A.2.2. The previous state queries, c_i = attention(s_{i-1}, h),
    the context enters the cell, s_i = GRU([y_{i-1} ; c_i], s_{i-1}), and the readout sees [s_i ; y_{i-1} ; c_i].

    *luong*: Luong et al. 2015, arXiv:1508.04025, §3. s_i = GRU(y_{i-1}, s_{i-1}), the current state queries,
    c_i = attention(s_i, h), h~_i = tanh(W_c [c_i ; s_i]) (eq. 5) and p(y_i) = softmax(W_s h~_i) (eq. 6). With input
    feeding (§3.3) the cell's input is [y_{i-1} ; h~_{i-1}].

    The first state is tanh(W final) and the first y is a learned start. With attention=none the decoder has only that
    first state: Sutskever et al. 2014, arXiv:1409.3215. Where no step needs what the one before looked at, the
    teacher-forced pass runs the cell over all known tokens at once.

    Predictions are log-probabilities; with coverage the overlap's cost is already taken off, so that the loss of a step
    is -log p(y) + λ overlap, eq. 13 of See et al. Generation ends when every sequence has said END.

    Args:
        hidden_dim: width of the decoder's state.
        style: bahdanau or luong.
        input_feeding: whether h~ joins the next input; luong only.
        cell: gru or lstm.
        coverage: whether the sum of earlier weights enters score and loss; see Coverage.
        coverage_weight: λ of that loss; None for the paper's 1.
        beam_size: hypotheses that are followed at once when the model answers by itself; 1 is greedy.
        length_penalty: the α of Wu et al. that favours longer hypotheses; see beam_search.
        attention: recipe of the look at the encoder's states.

    Raises:
        ValueError: an unknown style or cell, or options without an effect.
    """

    accepts: ClassVar[tuple[type[Output], ...]] = (TokenSequence,)
    feeds_back: ClassVar[bool] = True

    def __init__(
        self,
        output: TokenSequence,
        state_dim: int,
        *,
        hidden_dim: int,
        attention: AttentionRecipe,
        style: str = "bahdanau",
        input_feeding: bool = False,
        cell: str = "gru",
        coverage: bool = False,
        coverage_weight: float | None = None,
        beam_size: int = 1,
        length_penalty: float = 0.0,
    ) -> None:
        super().__init__()
        _check_choice("style", style, STYLES)
        _check_choice("cell", cell, CELLS)
        _check_coverage(coverage, coverage_weight)
        _check_beam(beam_size, length_penalty)
        if input_feeding and style != "luong":
            raise ValueError(
                f"head.input_feeding=true feeds the vector that head.style=luong makes, and head.style={style} makes "
                "none; use head.style=luong or head.input_feeding=false"
            )
        self.max_length = output.max_length
        self.style = style
        self.beam_size, self.length_penalty = beam_size, length_penalty
        self.attention = attention(hidden_dim, state_dim, state_dim)
        if coverage and not self.attention.uses_content:
            raise ValueError(
                "head.coverage=true acts through the score, and this attention has none that looks at its items; "
                "choose another attention, such as additive, or head.coverage=false"
            )
        self.coverage = Coverage(self.attention, state_dim) if coverage else None
        self.coverage_weight = 1.0 if coverage_weight is None else coverage_weight
        self.embedding = nn.Embedding(output.vocab_size, hidden_dim)  # row 0, padding, serves as the start
        context_dim = self.attention.context_dim
        self.fed_dim = hidden_dim if input_feeding else 0
        looks_first = style == "bahdanau"
        joined_dim = hidden_dim + (context_dim if looks_first else self.fed_dim)
        self.initial = nn.Linear(state_dim, hidden_dim * (2 if cell == "lstm" else 1))
        self.recurrence = CELLS[cell](joined_dim, hidden_dim, batch_first=True)
        if looks_first:
            self.readout = nn.Linear(hidden_dim + joined_dim, output.vocab_size)
        else:
            self.join = nn.Linear(context_dim + hidden_dim, hidden_dim, bias=False)  # W_c
            self.readout = nn.Linear(hidden_dim, output.vocab_size, bias=False)  # W_s
        self.stepwise = input_feeding or coverage or (looks_first and self.attention.attends)

    def forward(self, encoded: Encoded, inputs: Tensor, targets: Tensor | None) -> Tensor:
        if targets is None:
            return self.generate(encoded, inputs)
        previous = F.pad(targets[:, :-1], (1, 0), value=PAD)
        progress, memory = self._start(encoded)
        if self.stepwise:
            logits, overlaps = [], []
            for step in range(targets.shape[1]):
                step_logits, progress = self._step(previous[:, step], progress, memory, step)
                logits.append(step_logits)
                overlaps.append(progress.overlap)
            return self._predictions(logits, overlaps)
        embedded = self.embedding(previous)
        states, _ = self._recur(embedded, progress)
        context = self.attention(states, memory, context_only=True).context
        return log_softmax(self.readout(self._told(states, embedded, context)))

    def generate(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        if self.beam_size > 1:
            return self._search(encoded, inputs)
        progress, memory = self._start(encoded)
        previous = torch.full_like(encoded.mask[:, 0], PAD, dtype=torch.long)
        ended = torch.zeros_like(encoded.mask[:, 0])
        logits, overlaps = [], []
        for step in range(self.max_length):
            step_logits, progress = self._step(previous, progress, memory, step)
            logits.append(step_logits)
            overlaps.append(progress.overlap)
            previous = likeliest(step_logits)
            ended = ended | (previous == END)
            if ended.all():
                break
        return self._predictions(logits, overlaps)

    def _search(self, encoded: Encoded, inputs: Tensor) -> Tensor:
        """The predictions along the best hypothesis of the beam: -inf for every token that it did not choose.

        The search looks without being seen: recorded weights are those of the hypothesis that won, made once more.
        """
        progress, memory = self._start(encoded)
        if self.coverage is not None:  # each hypothesis has covered other items, so each needs keys of its own
            memory = memory._replace(
                keys=memory.keys.repeat_interleave(self.beam_size, 0),
                values=None if memory.values is None else memory.values.repeat_interleave(self.beam_size, 0),
                mask=memory.mask.repeat_interleave(self.beam_size, 0),
            )

        def advance(previous: Tensor, progress: tuple[Tensor, ...], step: int) -> tuple[Tensor, tuple[Tensor, ...]]:
            logits, progress = self._step(previous, Progress(*progress), memory, step, seen=False)
            return log_softmax(logits), progress

        answer = beam_search(
            advance,
            tuple(part.repeat_interleave(self.beam_size, 0) for part in progress),
            beam_size=self.beam_size,
            max_length=self.max_length,
            length_penalty=self.length_penalty,
        )
        predictions = self(encoded, inputs, answer)
        chosen = F.one_hot(answer, predictions.shape[-1]).bool()
        return predictions.masked_fill(~chosen, -torch.inf)

    def _start(self, encoded: Encoded) -> tuple[Progress, Memory]:
        memory = self.attention.prepare(encoded.states, mask=encoded.mask)
        first = torch.tanh(self.initial(encoded.final))
        width = self.recurrence.hidden_size
        num_covered = memory.keys.shape[1] if self.coverage is not None else 0
        progress = Progress(
            first[:, :width].contiguous(),
            first[:, width:].contiguous(),
            first.new_zeros(len(first), self.fed_dim),
            first.new_zeros(len(first), num_covered, memory.keys.shape[2]),
            first.new_zeros(len(first)),
        )
        return progress, memory

    def _step(
        self, previous: Int[Tensor, " rows"], progress: Progress, memory: Memory, step: int, *, seen: bool = True
    ) -> tuple[Float[Tensor, "rows vocabulary"], Progress]:
        embedded = self.embedding(previous)
        if self.style == "bahdanau":
            context, progress = self._look(progress, memory, step, seen)
            _, progress = self._recur(torch.cat([embedded, context], dim=-1)[:, None], progress)
        else:
            _, progress = self._recur(torch.cat([embedded, progress.fed], dim=-1)[:, None], progress)
            context, progress = self._look(progress, memory, step, seen)
        told = self._told(progress.hidden, embedded, context)
        return self.readout(told), progress._replace(fed=told[:, : self.fed_dim])

    def _look(self, progress: Progress, memory: Memory, step: int, seen: bool) -> tuple[Tensor, Progress]:
        """The context of the state's query, one row for each sequence."""
        if self.coverage is not None:
            memory = self.coverage.enter(memory, progress.coverage)
        queries = progress.hidden.unflatten(0, (memory.keys.shape[0], -1))  # the beams of an example share its memory
        places = torch.full((1, queries.shape[1]), step, device=queries.device)
        if seen:
            attended = self.attention(queries, memory, places=places, context_only=self.coverage is None)
        else:
            attended = self.attention.attend(queries, memory, places)
        if self.coverage is not None:
            assert attended.weights is not None
            weights = attended.weights.squeeze(2)
            progress = progress._replace(
                coverage=progress.coverage + weights, overlap=overlap(weights, progress.coverage)
            )
        return attended.context.flatten(0, 1), progress

    def _recur(self, fed: Tensor, progress: Progress) -> tuple[Tensor, Progress]:
        if isinstance(self.recurrence, nn.LSTM):
            states, (hidden, cell) = self.recurrence(fed, (progress.hidden[None], progress.cell[None]))
            return states, progress._replace(hidden=hidden[0], cell=cell[0])
        states, hidden = self.recurrence(fed, progress.hidden[None])
        return states, progress._replace(hidden=hidden[0])

    def _told(self, states: Tensor, embedded: Tensor, context: Tensor) -> Tensor:
        """What the readout is told."""
        if self.style == "bahdanau":
            return torch.cat([states, embedded, context], dim=-1)
        return torch.tanh(self.join(torch.cat([context, states], dim=-1)))

    def _predictions(self, logits: list[Tensor], overlaps: list[Tensor]) -> Tensor:
        predictions = log_softmax(torch.stack(logits, dim=1))
        if self.coverage is None:
            return predictions
        return predictions - self.coverage_weight * torch.stack(overlaps, dim=1)[..., None]

    def loss(self, predictions: Tensor, batch: Batch) -> Tensor:
        targets = batch.targets.where(batch.target_mask, PAD)
        return masked_mean(-predictions.gather(-1, targets[..., None]).squeeze(-1), batch.target_mask)

    def decode(self, predictions: Tensor) -> Tensor:
        """The likeliest token of each step, padding after the first END."""
        tokens = likeliest(predictions)
        ends = (tokens == END).long()
        return tokens.masked_fill(ends.cumsum(1) > ends, PAD)


def likeliest(scores: Float[Tensor, "*lead vocabulary"]) -> Int[Tensor, "*lead"]:
    """Padding is never an answer."""
    return scores[..., PAD + 1 :].argmax(-1) + PAD + 1


def log_softmax(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _check_choice(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"head.{option}={value} is not known; choose one of {', '.join(known)}")


def _check_coverage(coverage: bool, coverage_weight: float | None) -> None:
    if coverage_weight is not None and not coverage:
        raise ValueError(
            f"head.coverage_weight={coverage_weight} has no effect without head.coverage=true; "
            "set that too, or leave the weight out"
        )
    if coverage_weight is not None and coverage_weight < 0:
        raise ValueError(f"head.coverage_weight={coverage_weight} would reward looking twice; use 0 or more")


def _check_beam(beam_size: int, length_penalty: float) -> None:
    if beam_size < 1:
        raise ValueError(f"head.beam_size={beam_size} must be at least 1, which is greedy")
    if length_penalty < 0:
        raise ValueError(f"head.length_penalty={length_penalty} must be at least 0")
    if length_penalty and beam_size == 1:
        raise ValueError(
            f"head.length_penalty={length_penalty} compares the hypotheses of a beam, and head.beam_size=1 has only "
            "one; use head.beam_size=5, or head.length_penalty=0"
        )
