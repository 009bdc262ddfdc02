"""Every command that the documentation shows is typed here, page by page and in order, with smaller trainings.

The commands of a page share a folder in which a reader's files and a first run lie, so that what a page trains, the
page can go on with. Its Python comes after its commands. What is not typed stands in NOT_TYPED, with the reason.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from tests.commands.sweep_server import SweepServer
from tests.docs.conftest import EXAMPLE_PACKAGE, smaller

import attnlab
from attnlab.cli import COMMANDS, run

REPOSITORY = Path(__file__).parents[2]
PAGES = [
    *(REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "examples/third_party/README.md")),
    *sorted(REPOSITORY.glob("docs/**/*.md")),
]
#: What a line begins with that is to be typed; output has no such beginning.
PROGRAMS = {"make", "python", "git", *(script.name for script in entry_points(group="console_scripts"))}
#: How a command begins that is not typed here, and why.
NOT_TYPED = {
    "pip install": "the tests are run in what is installed",
    "pytest": "it is running",
    "tensorboard": "shows its page until it is stopped",
    "mlflow ui": "shows its page until it is stopped",
    "trackio show": "shows its page until it is stopped",
    "wandb beta leet": "the library's older name of wandb leet",
    "python -m benchmarks": "takes minutes; make bench is how its pages are written",
    "python -m website.pictures": "trains for minutes, and writes into docs/",
    "python -m website.notebooks": "trains for minutes; tests/website/test_notebooks.py executes them in small",
}
#: Where a sentence names one of these and no more, its help is read: what it needs to be told, pages show elsewhere.
NEEDS_ARGUMENTS = ("compare", "evaluate", "predict", "resume", "study", "table")
#: What a reader puts in the place of these.
PLACEHOLDERS = {
    r"runs/<run>|\bRUN\b": "runs/first",
    r"\bNAME\b": "adding",
    r"\bCOMMAND\b": "train",
    r"runs/<other>": "runs/first",
    r"/abs/path": str(EXAMPLE_PACKAGE),
    r"runs/wandb/offline-run-…": "runs/wandb/latest-run",
}


def commands(page: Path) -> list[list[str]]:
    """Lines of code blocks that begin with a program, and code in a sentence that does."""
    program = rf"(?:\.venv/bin/)?({'|'.join(map(re.escape, sorted(PROGRAMS)))})"
    typed = []
    pattern = rf"^```(\w*)\n(.*?)^```|`({program} [^`]+)`"
    for block in re.finditer(pattern, page.read_text(encoding="utf-8"), flags=re.M | re.S):
        language, code, inline = block.group(1, 2, 3)
        if inline is not None:
            typed.append(inline)
        elif language in ("", "console", "sh", "bash", "shell"):
            typed += re.sub(r"\\\n\s*", "", code).splitlines()
    found = []
    for line in typed:
        line = " ".join(re.sub(r"\s#.*$|^\$ ", "", line).split("\n"))
        if begun := re.match(rf"{program} (?=[\w-])", line):
            found.append([begun.group(1), *shlex.split(filled(line[begun.end() :]))])
    return found


def is_typed(words: list[str]) -> bool:
    return not any(words[: len(beginning.split())] == beginning.split() for beginning in NOT_TYPED)


def python_blocks(page: Path) -> list[str]:
    """What a page does with the package, and how parts of another package look."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [filled(block) for block in blocks]


def filled(text: str) -> str:
    for placeholder, real in PLACEHOLDERS.items():
        text = re.sub(placeholder, real, text)
    return text


def type_in(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Runs `attnlab …` in small. Where W&B is to be asked, there is a key, and somebody who answers for it."""
    assert words[0] in COMMANDS or words[0].startswith("-"), f"attnlab {words[0]} is not a command"
    capsys.readouterr()
    with pytest.MonkeyPatch.context() as patch:
        if words[0] == "sync":
            patch.setenv("WANDB_API_KEY", "0" * 40)
        server = SweepServer(patch) if "sweep=wandb" in words else None
        words = in_small(words)
        status = status_of(words)
    assert status == 0, f"attnlab {shlex.join(words)}\n{capsys.readouterr().err}"
    assert server is None or server.agents


def in_small(words: list[str]) -> list[str]:
    """The same command, sooner done and disturbing nobody."""
    command, *rest = words
    if command in NEEDS_ARGUMENTS and not rest:
        return [command, "--help"]
    if command == "resume":
        return [command, "runs/stopped"]
    if command == "dashboard" and "--port" in rest:
        return [*words, "--port", "0"]
    no_training = {"--cfg", "-h", "--help", "sweep=wandb"} & set(rest)
    study = any(word.startswith("experiment=study/") for word in rest)
    if command == "train" and not no_training and not study:
        return [command, *smaller(rest)]
    return words


def status_of(words: list[str]) -> int:
    try:
        return run(words)
    except SystemExit as ended:  # as argparse ends
        return int(ended.code or 0)


def having(found: Callable[[Path], object]) -> pytest.MarkDecorator:
    """The pages in which something was found."""
    return pytest.mark.parametrize(
        "page", [page for page in PAGES if found(page)], ids=lambda path: path.relative_to(REPOSITORY).as_posix()
    )


@having(lambda page: commands(page) or python_blocks(page))
@pytest.mark.usefixtures("_small_matrix", "_small_studies", "desk")
def test_every_command_of_a_page_can_be_typed(
    page: Path,
    visited: list[str],
    uploaded: list[str],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    typed = [words for words in commands(page) if is_typed(words)]
    for program, *words in typed:
        if program == "attnlab":
            type_in(words, capsys)
        elif program == "wandb":
            look_at_offline_run(words)
        elif program in ("make", "python"):
            {"make": check_target, "python": run_python}[program](words)
        else:
            pytest.fail(f"{page.name}: {program} {shlex.join(words)} is neither typed here nor in NOT_TYPED")
    assert len(visited) == sum(words[:2] == ["attnlab", "dashboard"] for words in typed)
    assert all("<title>attnlab</title>" in html for html in visited)
    assert bool(uploaded) == (["attnlab", "sync"] in typed)
    train = attnlab.train
    monkeypatch.setattr(attnlab, "train", lambda *words: train(*smaller(list(words))))
    names: dict[str, object] = {"__name__": "page"}
    for code in python_blocks(page):
        exec(compile(code, str(page), "exec"), names)


def check_target(words: list[str]) -> None:
    """A target that is there. What it does the CI does itself."""
    done = subprocess.run(["make", "-n", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def run_python(words: list[str]) -> None:
    """In the repository, since scripts and modules are named from there. A workspace is shown in place of saved."""
    words = [*words, "--print"] if words[0] == "scripts/wandb_workspace.py" else words
    done = subprocess.run([sys.executable, *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def look_at_offline_run(words: list[str]) -> None:
    """`wandb leet run` draws in a terminal until a key is pressed; what it would draw is printed in its place."""
    if words == ["leet"]:
        return  # its name in a sentence
    assert words[:2] == ["leet", "run"]
    look = [sys.executable, "-m", "wandb", "leet", "inspect", "--summary", *words[2:]]
    done = subprocess.run(look, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "test/" in done.stdout
    assert "trainer.max_steps" in done.stdout


def test_commands_are_found_in_blocks_and_in_sentences(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Type `attnlab options` or `attnlab.load`.\n\n```\nattnlab train data=tsp \\\n    seed=1   # a comment\n"
        "run      attnlab runs\n$ make docs\n```\n\n```python\nattnlab train\n```\n\n```console\n"
        '.venv/bin/attnlab predict RUN --input "new.csv"\n```\n\nOr `python -m website`.\n'
    )
    assert commands(page) == [
        ["attnlab", "options"],
        ["attnlab", "train", "data=tsp", "seed=1"],
        ["make", "docs"],
        ["attnlab", "predict", "runs/first", "--input", "new.csv"],
        ["python", "-m", "website"],
    ]


def test_the_documentation_names_every_command() -> None:
    named = {words[1] for page in PAGES for words in commands(page) if words[0] == "attnlab"}
    assert set(COMMANDS) <= named


def test_what_is_not_typed_is_shown_somewhere() -> None:
    shown = [shlex.join(words) for page in PAGES for words in commands(page)]
    for beginning in NOT_TYPED:
        assert any(command.startswith(beginning) for command in shown), f"no page shows {beginning} any more"
