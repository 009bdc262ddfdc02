from __future__ import annotations

import re
from pathlib import Path

from website.options import described, markdown, option_page, targets, write_option_pages

from attnlab.config import GROUPS, choices


def test_every_option_has_a_page_and_every_group_lists_its_own(tmp_path: Path) -> None:
    write_option_pages(tmp_path)
    pages = {path.relative_to(tmp_path).with_suffix("").as_posix() for path in tmp_path.rglob("*.md")}
    for group in GROUPS:
        listed = (tmp_path / group / "index.md").read_text()
        for name, line in choices(group).items():
            assert f"{group}/{name}" in pages
            assert f"| [`{name}`]({name}.md) | {line} |" in listed
    assert len(pages) == 1 + sum(1 + len(choices(group)) for group in GROUPS)


def test_a_page_says_what_the_class_says_and_shows_the_file() -> None:
    page = option_page("encoder", "feedforward_attention")
    assert page.startswith("# `encoder=feedforward_attention`\n\nNo recurrence: ")
    assert "Raffel & Ellis 2015, arXiv:1512.08756, eq. 1 and the first layer" in page
    assert "- `hidden_dim`: width of a state." in page
    assert "hidden_dim: ${dim}\n" in page


def test_what_a_file_builds_is_found_at_any_depth_and_once() -> None:
    node = {"_target_": "a.B", "scorer": {"_target_": "a.C", "inner": {"_target_": "a.B"}}, "lr": 1}
    assert targets(node) == ["a.B", "a.C"]


def test_other_libraries_speak_for_themselves() -> None:
    assert described("torch.optim.AdamW") == "`torch.optim.AdamW`, whose own documentation says what it takes."


def test_mathematics_is_not_taken_for_markdown() -> None:
    shown = markdown(
        "A state h_t of a_t * b, with `x_t` [B, T].\n\nin   1 2\nout  2 1\n\nArgs:\n    a, b: two\n        words."
    )
    assert shown == (
        "A state h\\_t of a\\_t \\* b, with `x_t` \\[B, T\\].\n\n"
        "```text\nin   1 2\nout  2 1\n```\n\n**Args**\n\n- `a, b`: two words."
    )


def test_no_page_is_empty_of_what_its_class_says(tmp_path: Path) -> None:
    for group in ("encoder", "head", "attention"):
        for name in choices(group):
            (first, *_) = re.split(r"\n## Its file", option_page(group, name))
            assert len(first.splitlines()) > 5, f"{group}={name} has a class without a docstring"
