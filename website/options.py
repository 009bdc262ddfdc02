"""A page per option, from its YAML and the docstring of the class that the YAML names."""

from __future__ import annotations

import inspect
import re
import textwrap
from pathlib import Path

import yaml
from hydra.utils import get_object

from attnlab.config import GROUPS, choices, conf_dir


def write_option_pages(folder: Path) -> None:
    """folder/<group>/<option>.md for every option, folder/<group>/index.md for every group, and folder/index.md."""
    rows = []
    for group in GROUPS:
        known = choices(group)
        (folder / group).mkdir(parents=True, exist_ok=True)
        for name in known:
            page = folder / group / f"{name}.md"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(option_page(group, name), encoding="utf-8")
        (folder / group / "index.md").write_text(group_page(group, known), encoding="utf-8")
        rows.append(f"| [`{group}=`]({group}/index.md) | {' '.join(f'`{name}`' for name in known)} |")
    lines = [
        "# Options",
        "",
        "One choice of each group makes a run. These pages are made from the configuration files and the docstrings; "
        "`attnlab options` prints their first lines, `attnlab options --matrix` which go together.",
        "",
        "| group | options |",
        "|---|---|",
        *rows,
    ]
    (folder / "index.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def group_page(group: str, known: dict[str, str]) -> str:
    rows = [f"| [`{name}`]({name}.md) | {text} |" for name, text in known.items()]
    return "\n".join([f"# `{group}=`", "", "| option | |", "|---|---|", *rows]) + "\n"


def option_page(group: str, name: str) -> str:
    """The option's one line, what its class says, and its file."""
    text = (conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")
    parts = [f"# `{group}={name}`", choices(group)[name] + "."]
    for target in targets(yaml.safe_load(text)):
        parts += [f"## `{target.rpartition('.')[2]}`", described(target)]
    parts += [
        "## Its file",
        f"`conf/{group}/{name}.yaml`, with every value that can be changed:",
        f"```yaml\n{text}```",
    ]
    return "\n\n".join(parts) + "\n"


def targets(node: object) -> list[str]:
    """The classes and functions that a configuration builds, outermost first."""
    if not isinstance(node, dict):
        return []
    own = [node["_target_"]] if "_target_" in node else []
    return list(dict.fromkeys([*own, *(target for value in node.values() for target in targets(value))]))


def described(target: str) -> str:
    """A docstring in Markdown; where it is another library's, its name alone."""
    what = get_object(target)
    if not target.startswith("attnlab."):
        return f"`{target}`, whose own documentation says what it takes."
    own = inspect.getdoc(what) or ""
    bases = what.__mro__[1:] if inspect.isclass(what) else ()
    ours = [base for base in bases if base.__module__.startswith("attnlab.")]
    return "\n\n".join([markdown(own), *filter(None, map(_inherited, ours))])


def _inherited(base: type) -> str:
    """What a base class says of the options that it takes; None of them are the user's where they are widths."""
    options = re.search(r"^Args:\n(?:(?: .*)?\n?)+", inspect.cleandoc(base.__doc__ or ""), flags=re.M)
    if options is None or base.__name__ in ("Encoder", "Head"):
        return ""
    return f"{markdown(options.group())}\n\n*(from `{base.__name__}`)*"


def markdown(docstring: str) -> str:
    """Our docstrings in Markdown: paragraphs, lists under Args and Raises, examples that keep their columns."""
    shown = []
    for block in re.split(r"\n{2,}", docstring.strip()):
        head, _, body = block.partition("\n")
        if head in ("Args:", "Returns:", "Raises:"):
            shown += [f"**{head.removesuffix(':')}**", _items(textwrap.dedent(body))]
        elif re.search(r"\S {2,}\S", block) or block.startswith("  "):  # columns
            shown.append(f"```text\n{block}\n```")
        else:
            shown.append(_escaped(block))
    return "\n\n".join(shown)


def _items(body: str) -> str:
    """`name: what it is`, continued on indented lines, as a list."""
    items = re.split(r"\n(?=\S)", body)
    lines = []
    for item in items:
        name, colon, rest = " ".join(item.split()).partition(": ")
        lines.append(f"- `{name}`: {_escaped(rest)}" if colon else f"- {_escaped(name)}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    """Brackets, stars and underscores are mathematics there; what stands in backticks stays."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else re.sub(r"([\\*_\[\]<>|#])", r"\\\1", part) for part in parts)
