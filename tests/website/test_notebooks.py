from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from website.notebooks import EXAMPLES, PARAMETERS, execute, write_notebook_page

NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
GENERATED = ["data.num_train=96", "data.num_val=32", "data.num_test=32", "data.batch_size=16"]
SMALLER = ["trainer=cpu", "trainer.max_epochs=1", "trainer.limit_train_batches=4", "dim=8"]
OWN = {
    "forecast": [],
    "reverse": [*GENERATED, "trainer.val_check_interval=2"],
    "tsp": GENERATED,
}


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_its_first_cell_to_its_last(notebook: Path, tmp_path: Path) -> None:
    executed = execute(notebook, tmp_path, [*SMALLER, *OWN[notebook.stem]])
    kept = json.loads(notebook.read_text())
    assert kinds(executed) == kinds(kept)  # what is kept was made by the cells as they are now
    assert [cell["source"] for cell in executed["cells"]] == [cell["source"] for cell in kept["cells"]]
    records = sorted((tmp_path / "runs").glob("*/config.yaml"))
    assert len(records) == sum("".join(cell["source"]).count("attnlab.train(") for cell in code(kept))
    assert all("limit_train_batches: 4" in record.read_text() for record in records)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_executed_and_small(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert [cell["execution_count"] for cell in code(content)] == list(range(1, len(code(content)) + 1))
    assert sum("".join(cell["source"]).count(PARAMETERS) for cell in code(content)) == 1
    assert any("image/png" in output.get("data", {}) for cell in code(content) for output in cell["outputs"])
    assert notebook.stat().st_size < 300_000


def test_a_page_shows_what_a_notebook_printed_and_drew(tmp_path: Path) -> None:
    notebook = EXAMPLES / "reverse.ipynb"
    write_notebook_page(notebook, tmp_path)
    page = (tmp_path / "reverse.md").read_text()
    assert page.startswith("# See attention learn to reverse a sequence\n")
    for picture in tmp_path.glob("*.png"):
        assert f"![]({picture.name})" in page
        assert picture.read_bytes().startswith(b"\x89PNG")
    printed = [text for cell in code(json.loads(notebook.read_text())) for text in streams(cell)]
    assert printed
    assert all(text in page for text in printed)


def code(content: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def streams(cell: dict[str, Any]) -> list[str]:
    return ["".join(output["text"]) for output in cell["outputs"] if output["output_type"] == "stream"]


def kinds(content: dict[str, Any]) -> list[list[str]]:
    """What each cell shows: streams, pictures, values; how often it printed does not matter."""
    shown = []
    for cell in code(content):
        names = [sorted(output.get("data", {output.get("name", ""): None})) for output in cell["outputs"]]
        shown.append(sorted({name for each in names for name in each} - {"stderr"}))
    return shown
