"""Where each page stands: sections by folder, pages in the order named here and then by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

#: Section → patterns of its pages, in their order. A page belongs to the first pattern that fits it.
SECTIONS = {
    "Home": ["index.md"],
    "Tutorials": [f"tutorials/{name}.md" for name in ("student", "practitioner", "researcher", "*")]
    + ["notebooks/*.md"],
    "Concepts": [f"concepts/{name}.md" for name in ("attention", "encoders", "heads", "data", "runs", "*")],
    "Options": ["options/index.md"],
    "Results": ["results/*.md", "performance.md"],
    "Project": ["design.md", "contributing.md", "changelog.md"],
    "Guides": ["data.md", "extending.md", "*.md"],
}
#: How they stand beside each other: guides are whatever no other section took.
ORDER = ("Home", "Tutorials", "Concepts", "Guides", "Options", "Results", "Project")


def navigation(folder: Path) -> list[dict[str, Any]]:
    """Every page below a folder, but for the options, which have a section of their own by group."""
    left = sorted(path.relative_to(folder) for path in folder.rglob("*.md"))
    options = [path for path in left if path.parts[0] == "options" and path.name != "index.md"]
    sections: dict[str, list[Any]] = {}
    for section, patterns in SECTIONS.items():
        sections[section] = []
        for pattern in patterns:
            fitting = [path for path in left if path.match(pattern) and len(path.parts) == len(Path(pattern).parts)]
            sections[section] += [path.as_posix() for path in fitting]
            left = [path for path in left if path not in fitting]
    groups = sorted({path.parent for path in left if path.name == "index.md" and path.parts[0] == "options"})
    for group in groups:
        own = [path.as_posix() for path in options if next(p for p in path.parents if p in groups) == group]
        name = group.relative_to("options").as_posix()
        sections["Options"].append({f"{name}=": [(group / "index.md").as_posix(), *own]})
    return [{name: sections[name]} for name in ORDER if sections[name]]
