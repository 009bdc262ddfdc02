"""The notebooks of examples/: executed, and shown as pages.

python -m website.notebooks [NAME ...] executes them and keeps what they print and draw.
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "examples"
#: Each notebook has this line; what stands between the brackets is added to the overrides of all its trainings.
PARAMETERS = "smaller = []"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m website.notebooks", description="Executes the notebooks anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="such as reverse; all where none is named")
    names = parser.parse_args().names or sorted(path.stem for path in EXAMPLES.glob("*.ipynb"))
    for name in names:
        path = EXAMPLES / f"{name}.ipynb"
        with tempfile.TemporaryDirectory() as folder:
            executed = execute(path, Path(folder))
        path.write_text(json.dumps(executed, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB", flush=True)


def execute(notebook: Path, folder: Path, smaller: Sequence[str] = ()) -> dict[str, Any]:
    """The notebook with its outputs, after its cells ran one after the other in a process that works in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        cell.source = cell.source.replace(PARAMETERS, f"smaller = {list(smaller)!r}")
    NotebookClient(content, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    for cell in content.cells:
        cell.metadata.pop("execution", None)  # when each cell ran
        cell.source = cell.source.replace(f"smaller = {list(smaller)!r}", PARAMETERS)
    return json.loads(nbformat.writes(content))


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
    """What a cell printed or drew; the picture becomes a file."""
    if output["output_type"] == "stream":
        return f"```text\n{''.join(output['text'])}```"
    shown = output.get("data", {})
    if "image/png" in shown:
        (folder / picture).write_bytes(base64.b64decode("".join(shown["image/png"])))
        return f"![]({picture})"
    return f"```text\n{''.join(shown['text/plain'])}\n```" if "text/plain" in shown else ""


if __name__ == "__main__":
    main()
