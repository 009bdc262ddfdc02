"""The executed notebooks of examples/ as pages, with what they printed and drew."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any


def write_notebook_page(notebook: Path, folder: Path) -> None:
    """folder/<name>.md, and its pictures beside it."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    parts = []
    for number, cell in enumerate(content["cells"]):
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            for index, output in enumerate(cell["outputs"]):
                parts.append(_output(output, folder, f"{notebook.stem}_{number}_{index}.png"))
    parts.insert(1, f"*This page is the notebook `examples/{notebook.name}`, as it was executed.*")
    (folder / f"{notebook.stem}.md").write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")


def _output(output: dict[str, Any], folder: Path, picture: str) -> str:
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    shown = output.get("data", {})
    if "image/png" in shown:
        (folder / picture).write_bytes(base64.b64decode("".join(shown["image/png"])))
        return f"![]({picture})"
    return f"```text\n{''.join(shown['text/plain'])}\n```" if "text/plain" in shown else ""
