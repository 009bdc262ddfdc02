"""Values of the wrong kind, found before anything is built: data.lookback=abc is named as such."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any

from hydra.utils import get_method, get_object
from omegaconf import DictConfig, OmegaConf

from attnlab.errors import UserError

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a word", type(None): "null"}
LISTS = (list, tuple, Sequence)


def check_values(cfg: DictConfig) -> None:
    """Compares each option with the annotation of the argument that it becomes.

    Raises:
        UserError: the first option that has another kind.
    """
    top: dict[str, Any] = {"dim": int, "seed": int}
    for name, kind in top.items():
        _check(name, cfg[name], kind)
    if cfg.dim < 1:
        raise UserError(f"dim={cfg.dim} must be at least 1")
    for group in cfg:
        if isinstance(cfg[group], DictConfig):
            _check_node(str(group), cfg[group])


def _check_node(path: str, node: DictConfig) -> None:
    hints = _argument_types(node.get("_target_"))
    for name in node:
        value = node[name]
        if isinstance(value, DictConfig):
            _check_node(f"{path}.{name!s}", value)
        elif name in hints:
            _check(
                f"{path}.{name}", OmegaConf.to_container(value) if OmegaConf.is_config(value) else value, hints[name]
            )


def _argument_types(target: str | None) -> dict[str, Any]:
    if target is None:
        return {}
    found = get_object(target)
    function = found.__init__ if inspect.isclass(found) else get_method(target)
    try:
        return typing.get_type_hints(inspect.unwrap(function))
    except (NameError, TypeError):  # a library whose annotations cannot be read: let it complain by itself
        return {}


def _check(option: str, value: Any, kind: Any) -> None:
    if not _fits(value, kind):
        raise UserError(f"{option}={value} must be {_describe(kind)}")


def _fits(value: Any, kind: Any) -> bool:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, option) for option in _writable(kind))
    if origin is typing.Literal:
        return value in typing.get_args(kind)
    if origin in LISTS:
        (inner, *_) = typing.get_args(kind) or (Any,)
        return isinstance(value, list) and all(_fits(item, inner) for item in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (str, bool, type(None)):
        return isinstance(value, kind)
    return True  # a kind that we know nothing of


def _writable(union: Any) -> list[Any]:
    """The members of a union that a file can hold: of `float | Tensor` the first. All, where that leaves no kind."""
    members = list(typing.get_args(union))
    known = [kind for kind in members if kind in KINDS or typing.get_origin(kind) in (typing.Literal, *LISTS)]
    return members if set(known) <= {type(None)} else known


def _describe(kind: Any) -> str:
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(option) for option in _writable(kind))
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    if origin in LISTS:
        return f"a list such as [a,b], each {_describe(typing.get_args(kind)[0])}"
    return KINDS.get(kind, str(kind))
