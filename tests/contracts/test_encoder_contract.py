"""What holds for every encoder, with every attention that it may be made of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import torch
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import pad

from attnlab.config import choices, conf_dir
from attnlab.encoders import Encoder
from attnlab.matrix import DIM, Combination
from attnlab.spec import DataSpec, StepLabels, Tokens, TokenSequence

# Batch 4, time 7, inputs of width 8; encoders are DIM = 12 wide. Both are multiples of 4, for several heads.
INPUT_DIM = 8
LENGTHS = [7, 4, 2, 1]
SPEC = DataSpec(Tokens(11), TokenSequence(11, 8), max_length=13)
CAUSAL = DataSpec(Tokens(11), StepLabels(5), max_length=13)
MASK = torch.arange(7) < torch.tensor(LENGTHS)[:, None]
#: Options that make another encoder of one.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "deep": ("rnn", {"num_layers": 2}),
    "both_directions": ("gru", {"bidirectional": True}),
    "window": ("history_rnn", {"cell": "gru", "window": 2, "join_state": True}),
    "deep_stack": ("stacked_attentive", {"cell": "gru", "num_layers": 3}),
    "learned_positions": ("transformer", {"positions": "learned"}),
    "post_norm": ("transformer", {"norm": "post"}),
}
#: One attention of each kind, for the tests that run an encoder many times, and for the variants.
FEW = ("additive", "dot", "last")
#: Encoders of sets, which are never causal, and whose final says what no state says.
OF_SETS = ("read_process_write",)
Case = tuple[str, str]
Recipes = Callable[[str, str], Callable[..., Encoder]]


def name_of(variant: str) -> str:
    return VARIANTS[variant][0] if variant in VARIANTS else variant


@cache
def options_of(variant: str) -> Any:
    return OmegaConf.load(conf_dir() / "encoder" / f"{name_of(variant)}.yaml")


def class_of(variant: str) -> Any:
    return get_class(options_of(variant)._target_)


def cases() -> list[Case]:
    """Every encoder of positions; one that attends with every attention, the others with none."""
    found = []
    for variant in [*choices("encoder"), *VARIANTS]:
        attentions = [attention for attention in choices("attention") if attention != "none"]
        if class_of(variant).of_variables:  # its windows are never padded: tests/encoders has its tests
            continue
        if not class_of(variant).attends:
            attentions = ["none"]
        elif variant in VARIANTS:
            attentions = list(FEW)
        found += [(variant, attention) for attention in attentions]
    return found


def is_aligned(case: Case) -> bool:
    return class_of(case[0]).aligned


def is_causal(case: Case) -> bool:
    return is_aligned(case) and case[0] not in ("both_directions", *OF_SETS)


def tells_all_in_its_states(case: Case) -> bool:
    return case[0] not in OF_SETS


def is_one_of_few(case: Case) -> bool:
    return case[1] in (*FEW, "none")


def each(*conditions: Callable[[Case], bool], spec: DataSpec = SPEC) -> pytest.MarkDecorator:
    """The cases of which all conditions hold, built for these data."""
    chosen = [case for case in cases() if all(condition(case) for condition in conditions)]
    return pytest.mark.parametrize(
        "encoder", [(*case, spec) for case in chosen], ids=map("-".join, chosen), indirect=True
    )


@pytest.fixture(scope="module")
def recipe_of(cells: list[Combination]) -> Recipes:
    """An encoder (or a variant of one) and an attention → the encoder's recipe, as Hydra makes it."""
    encoders = {cell.choices["encoder"]: cell.chosen["encoder"] for cell in cells}
    attentions = {cell.choices["attention"]: cell.chosen["attention"] for cell in cells}

    def make(variant: str, attention: str) -> Callable[..., Encoder]:
        name, options = VARIANTS.get(variant, (variant, {}))
        nodes = OmegaConf.create({"dim": DIM, "attention": attentions[attention], "encoder": encoders[name]})
        nodes.encoder.update(options)
        recipe: Callable[..., Encoder] = instantiate(nodes.encoder, _convert_="all")
        return recipe

    return make


@pytest.fixture
def encoder(request: pytest.FixtureRequest, recipe_of: Recipes) -> Encoder:
    variant, attention, spec = request.param
    return recipe_of(variant, attention)(INPUT_DIM, spec).double().eval()


def inputs_with(padding: float, length: int = 7) -> Tensor:
    inputs = torch.randn(4, 7, INPUT_DIM, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    inputs = inputs.where(MASK[..., None], padding)
    return pad(inputs, (0, 0, 0, length - 7), value=padding)


def random_like(states: Tensor) -> Tensor:
    return torch.randn(states.shape, dtype=states.dtype, generator=torch.Generator().manual_seed(5))


@each()
def test_states_and_final_have_the_width_that_is_announced(encoder: Encoder) -> None:
    encoded = encoder(inputs_with(0), MASK)
    assert encoded.states.shape == (*encoded.mask.shape, encoder.output_dim)
    assert encoded.final.shape == (4, encoder.output_dim)


@each(is_aligned)
def test_there_is_one_state_for_each_position(encoder: Encoder) -> None:
    encoded = encoder(inputs_with(0), MASK)
    assert encoded.states.shape == (4, 7, encoder.output_dim)
    assert torch.equal(encoded.mask, MASK)


@each(is_aligned)
def test_the_state_of_a_position_depends_on_its_input(encoder: Encoder) -> None:
    inputs = inputs_with(0)[:1].expand(8, -1, -1)
    changed = inputs.clone()
    changed[torch.arange(7), torch.arange(7)] += random_like(inputs[0])  # example t differs at position t
    states = encoder(changed, MASK[:1].expand(8, -1)).states
    difference = (states[:7] - states[7]).abs().amax(-1)
    assert (difference.diagonal() > 1e-4).all()


@each(is_aligned, is_one_of_few)
def test_an_example_does_not_depend_on_the_others(encoder: Encoder) -> None:
    inputs = inputs_with(0)
    changed = inputs.clone()
    changed[0] += random_like(inputs[0])
    before, after = encoder(inputs, MASK), encoder(changed, MASK)
    torch.testing.assert_close(after.states[1:], before.states[1:])
    torch.testing.assert_close(after.final[1:], before.final[1:])
    assert (after.final[0] - before.final[0]).abs().max() > 1e-4


@each()
def test_what_stands_in_padding_changes_nothing_real(encoder: Encoder) -> None:
    quiet, loud = encoder(inputs_with(0), MASK), encoder(inputs_with(1e3), MASK)
    torch.testing.assert_close(loud.states[loud.mask], quiet.states[quiet.mask])
    torch.testing.assert_close(loud.final, quiet.final)


@each()
def test_more_padding_changes_nothing_real(encoder: Encoder) -> None:
    encoded, longer = encoder(inputs_with(0), MASK), encoder(inputs_with(1e3, length=10), pad(MASK, (0, 3)))
    torch.testing.assert_close(longer.states[longer.mask], encoded.states[encoded.mask])
    torch.testing.assert_close(longer.final, encoded.final)


@each()
def test_padding_gets_no_gradient_from_what_is_real(encoder: Encoder) -> None:
    inputs = inputs_with(1).requires_grad_()
    encoded = encoder(inputs, MASK)
    loss = (encoded.states * random_like(encoded.states))[encoded.mask].sum()
    (loss + (encoded.final * random_like(encoded.final)).sum()).backward()
    assert inputs.grad is not None
    assert not inputs.grad[~MASK].any()
    assert inputs.grad[MASK].any(-1).all()


@each(is_one_of_few)
def test_a_batch_equals_its_items_alone(encoder: Encoder) -> None:
    inputs = inputs_with(1e3)
    encoded = encoder(inputs, MASK)
    for row, length in enumerate(LENGTHS):
        alone = encoder(inputs[row : row + 1, :length], MASK[row : row + 1, :length])
        torch.testing.assert_close(encoded.states[row][encoded.mask[row]], alone.states[0])
        torch.testing.assert_close(encoded.final[row], alone.final[0])


def check_gradients(encoder: Encoder) -> None:
    encoded = encoder.train()(inputs_with(0), MASK)
    (encoded.states * random_like(encoded.states))[encoded.mask].sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each(tells_all_in_its_states)
def test_the_states_train_every_parameter(encoder: Encoder) -> None:
    check_gradients(encoder)


@each()
def test_a_sequence_of_nothing_but_padding_stays_finite_and_disturbs_no_other(encoder: Encoder) -> None:
    inputs, mask = inputs_with(1), MASK.clone()
    mask[1] = False
    inputs.requires_grad_()
    encoded, expected = encoder(inputs, mask), encoder(inputs, MASK)
    others = torch.tensor([0, 2, 3])
    real = expected.mask[others]
    torch.testing.assert_close(encoded.states[others][real], expected.states[others][real])
    torch.testing.assert_close(encoded.final[others], expected.final[others])
    assert encoded.states.isfinite().all()
    assert encoded.final.isfinite().all()
    (encoded.states.sum() + encoded.final.sum()).backward()
    assert inputs.grad is not None
    assert inputs.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in encoder.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@each(is_one_of_few)
def test_less_precision_gives_the_same_states_more_or_less(encoder: Encoder, dtype: torch.dtype) -> None:
    encoder = encoder.to(dtype)
    inputs = inputs_with(0).to(dtype)
    encoded = encoder(inputs, MASK)
    exact = encoder.double()(inputs.double(), MASK)
    assert encoded.states.dtype == encoded.final.dtype == dtype
    tolerance = 1e-4 if dtype == torch.float32 else 0.1
    states, expected = encoded.states[encoded.mask], exact.states[exact.mask]
    torch.testing.assert_close(states.double(), expected, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(encoded.final.double(), exact.final, atol=tolerance, rtol=tolerance)


@each(is_causal, spec=CAUSAL)
def test_a_state_of_causal_data_knows_nothing_of_later_inputs(encoder: Encoder) -> None:
    inputs, mask = inputs_with(0)[:1].expand(7, -1, -1), torch.ones(7, 7, dtype=torch.bool)
    later = torch.ones(7, 7).triu(1).bool()  # example t differs at all positions after t
    changed = inputs + random_like(inputs) * later[..., None]
    before, after = encoder(inputs, mask).states, encoder(changed, mask).states
    torch.testing.assert_close(after[~later], before[~later])
    assert ((after - before)[later].abs().amax(-1) > 1e-6).all()


@each(is_causal, spec=CAUSAL)
def test_a_state_of_causal_data_does_not_depend_on_how_long_the_input_is(encoder: Encoder) -> None:
    inputs = inputs_with(0)
    encoded = encoder(inputs, MASK)
    for length in (1, 4):
        shorter = encoder(inputs[:, :length], MASK[:, :length])
        torch.testing.assert_close(shorter.states[shorter.mask], encoded.states[:, :length][shorter.mask])


@each(is_causal, spec=CAUSAL)
def test_the_states_of_causal_data_train_every_parameter(encoder: Encoder) -> None:
    check_gradients(encoder)


@pytest.mark.parametrize("name", [name for name in choices("encoder") if "bidirectional" in options_of(name)])
def test_two_directions_are_refused_where_the_data_are_causal(name: str, recipe_of: Recipes) -> None:
    recipe = recipe_of(name, "none")
    assert recipe(INPUT_DIM, SPEC, bidirectional=True).output_dim == DIM
    with pytest.raises(ValueError, match=r"encoder\.bidirectional=true would see what comes later"):
        recipe(INPUT_DIM, CAUSAL, bidirectional=True)
