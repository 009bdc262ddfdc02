"""The only place where the parts meet: dims flow from the data through the encoder to the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from attnlab.attention import Attention, ScoredAttention
from attnlab.attention.window import NoWindow
from attnlab.embedders import VariableEmbedder, embedder_for, question_embedder_for
from attnlab.encoders.base import Encoder
from attnlab.errors import IncompatibleError
from attnlab.heads.base import Head
from attnlab.model import Model
from attnlab.spec import DataSpec, Forecast, Series

EncoderRecipe = Callable[..., Encoder]
HeadRecipe = Callable[..., Head]

# Long enough that every site attends to several items, short enough to cost nothing.
DRY_RUN_LENGTH = 6


def build_model(
    spec: DataSpec,
    *,
    dim: int,
    encoder: EncoderRecipe,
    head: HeadRecipe,
    attention: Any = None,
    choices: Mapping[str, str] | None = None,
) -> Model:
    """The model that was chosen, or one error that lists every reason why it cannot be.

    Args:
        dim: width between the parts.
        encoder, head: recipes; each holds the recipe of its own attention.
        attention: the attention that was asked for, to notice when no part uses it.
        choices: names of the options, for the messages: data, encoder, attention, attention/normalizer, head.

    Raises:
        IncompatibleError: the parts do not fit, a width is impossible, or a parameter would never be trained.
    """
    names = _Names(choices or {})
    problems = find_problems(spec, encoder=encoder, head=head, attention=attention, choices=choices)
    if problems:
        raise IncompatibleError(str(names), problems)
    try:
        of_variables = recipe_class(encoder).of_variables
        embedder = VariableEmbedder(spec.max_length, dim) if of_variables else embedder_for(spec.input, dim)
        built_encoder = encoder(dim, spec)
        if spec.question is None:
            model = Model(embedder, built_encoder, head(spec.output, built_encoder.output_dim))
        else:
            question = question_embedder_for(spec.input, embedder)
            built_head = head(spec.output, built_encoder.output_dim, question_dim=dim)
            model = Model(embedder, built_encoder, built_head, question)
    except ValueError as error:
        raise IncompatibleError(str(names), [str(error)]) from error
    dry_run(model, spec, names)
    return model


def find_problems(
    spec: DataSpec,
    *,
    encoder: EncoderRecipe,
    head: HeadRecipe,
    attention: Any,
    choices: Mapping[str, str] | None = None,
) -> list[str]:
    """What the classes of the parts say about each other, before anything is built. All of it, not the first."""
    names = _Names(choices or {})
    head_class = recipe_class(head)
    problems = []
    if not isinstance(spec.output, head_class.accepts):
        wanted = " or ".join(kind.__name__ for kind in head_class.accepts)
        problems.append(
            f"{names['head']} predicts {wanted}, but {names['data']} asks for {type(spec.output).__name__}; "
            f"leave head= out to take the usual head of {names['data']}"
        )
    if spec.question is not None and not head_class.answers_questions:
        problems.append(f"{names['head']} takes no question, and {names['data']} asks one; choose head=pool")
    of_variables = recipe_class(encoder).of_variables
    if of_variables and not (isinstance(spec.input, Series) and isinstance(spec.output, Forecast)):
        problems.append(
            f"{names['encoder']} attends among variables that are seen in windows of one length, and {names['data']} "
            "has none; choose another encoder"
        )
    elif head_class.needs_aligned and not recipe_class(encoder).aligned:
        problems.append(
            f"{names['head']} needs a state for each input position, and {names['encoder']} returns memory slots; "
            "choose another encoder"
        )
    if head_class.needs_variables and not of_variables:
        problems.append(
            f"{names['head']} reads the forecast of a variable from a state of its own, and {names['encoder']} has "
            "none for it; choose encoder=inverted_transformer, or leave head= out"
        )
    encoder_attention, head_attention = site_recipe(encoder), site_recipe(head)
    if encoder_attention is not None and not recipe_class(encoder_attention).attends:
        problems.append(
            f"{names['encoder']} is made of attention and {names['attention']} leaves it none; "
            "choose an attention, or encoder=rnn, gru or lstm"
        )
    if head_class.predicts_weights and head_attention is not None:
        if not recipe_class(head_attention).uses_content:
            problems.append(
                f"{names['head']} predicts with the attention's weights, and {names['attention']} has none that could "
                "be trained; choose another attention, such as additive"
            )
        elif not _uses_queries(head_attention):
            problems.append(
                f"{names['head']} points with the state of its decoder, and {names['attention']} does not look at it; "
                "choose another attention, such as additive"
            )
        elif not _has_loss(head_attention):
            problems.append(
                f"{names['head']} needs a normalizer with a loss, and {names['attention/normalizer']} has none; "
                "choose softmax, sparsemax or entmax15"
            )
        if _hides_items(head_attention):
            problems.append(
                f"{names['head']} may have to point at any item, and attention/window hides some; "
                "leave attention/window= out"
            )
    used = encoder_attention is not None or head_attention is not None
    if attention is not None and recipe_class(attention).attends and not used:
        problems.append(
            f"{names['attention']} is used by neither {names['encoder']} nor {names['head']}; "
            "choose one that attends, or say attention=none"
        )
    return problems


def dry_run(model: Model, spec: DataSpec, names: _Names) -> None:
    """Forward and backward on two made-up examples: every parameter must get a finite gradient.

    It is what distributed training needs as well, found here in a moment and not in a hang at the first step.
    """
    with torch.random.fork_rng(devices=[]):
        loss = model.loss(spec.example(2, max(DRY_RUN_LENGTH, model.encoder.needed_length)))
        loss.backward()
    problems = []
    if not torch.isfinite(loss):
        problems.append(f"the loss of a made-up batch is {loss.item()}")
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            problems.append(f"{name} would never be trained: the loss does not depend on it")
        elif not torch.isfinite(parameter.grad).all():
            problems.append(f"the gradient of {name} is not finite")
    model.zero_grad(set_to_none=True)
    if problems:
        raise IncompatibleError(str(names), problems)


def recipe_class(recipe: Any) -> Any:
    """The class behind a recipe. Hydra's partials are a private subclass of functools.partial: ask only here."""
    return recipe.func if isinstance(recipe, partial) else recipe


def site_recipe(part: Any) -> Any:
    """The attention recipe that an encoder's or a head's recipe holds; None where it attends to nothing."""
    return part.keywords.get("attention") if isinstance(part, partial) else None


def _has_loss(attention: Any) -> bool:
    if not issubclass(recipe_class(attention), ScoredAttention):
        return recipe_class(attention).nll is not Attention.nll
    return bool(recipe_class(attention.keywords["normalizer"]).has_loss)


def _uses_queries(attention: Any) -> bool:
    if not issubclass(recipe_class(attention), ScoredAttention):
        return True
    parts = [attention.keywords.get(name) for name in ("scorer", "position", "window")]
    return any(recipe_class(part).uses_queries for part in parts if part is not None)


def _hides_items(attention: Any) -> bool:
    window = attention.keywords.get("window") if isinstance(attention, partial) else None
    return window is not None and recipe_class(window) is not NoWindow


class _Names(dict[str, str]):
    """Options as the user types them: names["head"] is "head=pointer"."""

    def __init__(self, choices: Mapping[str, str]) -> None:
        super().__init__({group: f"{group}={choice}" for group, choice in choices.items()})

    def __missing__(self, group: str) -> str:
        return f"this {group}"

    def __str__(self) -> str:
        return " ".join(self.values()) or "this combination"
