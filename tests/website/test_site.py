from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from website.navigation import navigation

from website import __main__ as site

DOCS = site.ROOT / "docs"


@pytest.fixture(scope="module")
def gathered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("website") / "build"
    site.gather(folder)
    return folder


def pages_of(node: Any) -> list[str]:
    if isinstance(node, str):
        return [node]
    return [page for child in (node.values() if isinstance(node, dict) else node) for page in pages_of(child)]


def test_every_page_stands_in_the_navigation_once(gathered: Path) -> None:
    configuration = tomllib.loads((gathered / "zensical.toml").read_text())
    named = pages_of(configuration["project"]["nav"])
    there = sorted(path.relative_to(gathered / "docs").as_posix() for path in gathered.rglob("*.md"))
    assert sorted(named) == there


def test_a_page_that_nobody_named_is_a_guide(tmp_path: Path) -> None:
    for name in ("index.md", "data.md", "cooking.md", "concepts/attention.md", "concepts/zebra.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("#")
    assert navigation(tmp_path) == [
        {"Home": ["index.md"]},
        {"Concepts": ["concepts/attention.md", "concepts/zebra.md"]},
        {"Guides": ["data.md", "cooking.md"]},
    ]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.relative_to(DOCS).as_posix())
def test_every_picture_of_a_page_is_there(page: Path) -> None:
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text()):
        assert (page.parent / picture).is_file(), f"{page.name} shows {picture}"


def test_links_are_turned_to_where_pages_lie_in_the_site() -> None:
    assert site.from_root_to_docs("[a](docs/data.md) [b](CONTRIBUTING.md)") == "[a](data.md) [b](contributing.md)"
    assert site.from_docs_to_site("[a](../CONTRIBUTING.md) [b](../x.md)") == "[a](contributing.md) [b](../x.md)"


def test_a_table_of_pages_is_read_back_from_toml() -> None:
    pages = [{"Home": ["index.md"]}, {"Options": ["a.md", {'x="y"=': ["b.md"]}]}]
    assert tomllib.loads(f"nav = {site.toml(pages)}") == {"nav": pages}


@pytest.mark.parametrize(
    ("html", "found"),
    [
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/f.css">', ["//fonts.example/f.css"]),
        ("<style>body { background: url(http://a.example/b.png) }</style>", ["http://a.example/b.png"]),
        ('<a href="https://arxiv.org/">a paper</a> <img src="pictures/a.png">', []),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(html: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(html)
    assert site.from_elsewhere(tmp_path) == found
