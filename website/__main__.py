"""python -m website [--serve]: gathers the pages in build/website and makes site/ of them, without a network.

A link to a page or heading that is not there fails the build.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from website.navigation import navigation
from website.notebooks import write_notebook_page
from website.options import write_option_pages

ROOT = Path(__file__).parents[1]
BUILD, SITE = ROOT / "build" / "website", ROOT / "site"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m website", description="Builds the documentation into site/.")
    parser.add_argument("--serve", action="store_true", help="show it on a local port, and again when a file changes")
    serve = parser.parse_args().serve
    gather(BUILD)
    program = Path(sys.executable).with_name("zensical")
    command = ["serve"] if serve else ["build", "--strict", "--clean"]
    done = subprocess.run([program, *command, "--config-file", BUILD / "zensical.toml"], check=False)
    if done.returncode == 0 and not serve:
        if fetched := from_elsewhere(BUILD / "site"):
            sys.exit(f"the site must not fetch anything from elsewhere, but does: {', '.join(fetched)}")
        shutil.rmtree(SITE, ignore_errors=True)
        shutil.move(BUILD / "site", SITE)
        print(f"{SITE.relative_to(ROOT)}/index.html: {len(list(SITE.rglob('*.html')))} pages")
    sys.exit(done.returncode)


def gather(build: Path) -> None:
    """All pages below build/docs, and the configuration beside it."""
    shutil.rmtree(build, ignore_errors=True)
    pages = build / "docs"
    shutil.copytree(ROOT / "docs", pages, ignore=lambda _, names: [n for n in names if n.endswith((".json", ".jsonl"))])
    for page in pages.rglob("*.md"):
        page.write_text(from_docs_to_site(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name in ("CONTRIBUTING.md", "CHANGELOG.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        (pages / name.lower()).write_text(from_root_to_docs(text), encoding="utf-8")
    (pages / "notebooks").mkdir()
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        write_notebook_page(notebook, pages / "notebooks")
    write_option_pages(pages / "options")
    configuration = (ROOT / "website" / "zensical.toml").read_text(encoding="utf-8")
    configuration = configuration.replace("nav = []", f"nav = {toml(navigation(pages))}")
    (build / "zensical.toml").write_text(configuration, encoding="utf-8")


def from_elsewhere(site: Path) -> list[str]:
    """Scripts, styles, fonts and pictures that a page would ask another host for."""
    asked = re.compile(
        r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\s\">]+)|url\(\"?((?:https?:)?//[^)\"]+)"
    )
    found = {
        link
        for page in [*site.rglob("*.html"), *site.rglob("*.css")]
        for links in asked.findall(page.read_text(encoding="utf-8"))
        for link in links
    }
    return sorted(found - {""})


def from_root_to_docs(text: str) -> str:
    """Links of a page that lies beside docs/, as they read from within."""
    return re.sub(r"\]\(docs/", "](", text).replace("(CONTRIBUTING.md)", "(contributing.md)")


def from_docs_to_site(text: str) -> str:
    """Links to those pages, as they read where they lie in the site."""
    return re.sub(r"\.\./(CONTRIBUTING|CHANGELOG)\.md", lambda found: f"{found[1].lower()}.md", text)


def toml(value: Any) -> str:
    """A list of names and of tables with one key each, in one line."""
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


if __name__ == "__main__":
    main()
