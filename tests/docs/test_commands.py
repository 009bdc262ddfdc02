"""Every command that the documentation shows is typed here, page by page and in order, with smaller trainings.

The commands of a page share a folder in which a reader's files and a first run lie, so that what a page trains, the
page can go on with.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.commands.sweep_server import SweepServer
from tests.docs.conftest import EXAMPLE_PACKAGE, smaller

import attnlab
from attnlab.cli import COMMANDS, run

REPOSITORY = Path(__file__).parents[2]
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]
#: Where a sentence names one of these and no more, its help is read: what it needs to be told, pages show elsewhere.
NEEDS_ARGUMENTS = ("compare", "evaluate", "predict", "resume", "study", "table")
#: What a reader puts in the place of these.
PLACEHOLDERS = {
    r"runs/<run>|\bRUN\b": "runs/first",
    r"\bNAME\b": "adding",
    r"\bCOMMAND\b": "train",
    r"runs/<other>": "runs/first",
    r"/abs/path": str(EXAMPLE_PACKAGE),
}


def commands(page: Path) -> list[list[str]]:
    """Lines of code blocks that begin with a program, and code in a sentence that does."""
    text = page.read_text(encoding="utf-8")
    typed = []
    for block in re.finditer(r"^```(\w*)\n(.*?)^```|`(attnlab [^`]+)`", text, flags=re.M | re.S):
        language, code, inline = block.groups()
        if inline is not None:
            typed.append(inline)
        elif language in ("", "console", "sh", "bash", "shell"):
            typed += re.sub(r"\\\n\s*", "", code).splitlines()
    found = []
    for line in typed:
        line = " ".join(re.sub(r"\s#.*$|^\$ ", "", line).split("\n"))
        if program := re.match(r"(?:\.venv/bin/)?attnlab (?=[\w-])|make (?=\w)", line):
            found.append([program.group().split("/")[-1].strip(), *shlex.split(filled(line[program.end() :]))])
    return found


def python_blocks(page: Path) -> list[str]:
    """What a page does with the package, as opposed to how parts of a package look."""
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return [filled(block) for block in blocks if re.search(r"attnlab\.(load|train)\(", block)]


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
    typed = commands(page)
    for program, *words in typed:
        if program == "make":
            check_target(words)
        else:
            type_in(words, capsys)
    assert len(visited) == sum(words[1] == "dashboard" for words in typed)
    assert all("<title>attnlab</title>" in html for html in visited)
    assert bool(uploaded) == (["attnlab", "sync"] in typed)
    train = attnlab.train
    monkeypatch.setattr(attnlab, "train", lambda *words: train(*smaller(list(words))))
    names: dict[str, object] = {}
    for code in python_blocks(page):
        exec(compile(code, str(page), "exec"), names)


def check_target(words: list[str]) -> None:
    """A target that is there. What it does the CI does itself."""
    done = subprocess.run(["make", "-n", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_commands_are_found_in_blocks_and_in_sentences(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Type `attnlab options` or `attnlab.load`.\n\n```\nattnlab train data=tsp \\\n    seed=1   # a comment\n"
        "run      attnlab runs\n$ make docs\n```\n\n```python\nattnlab train\n```\n\n```console\n"
        '.venv/bin/attnlab predict RUN --input "new.csv"\n```\n'
    )
    assert commands(page) == [
        ["attnlab", "options"],
        ["attnlab", "train", "data=tsp", "seed=1"],
        ["make", "docs"],
        ["attnlab", "predict", "runs/first", "--input", "new.csv"],
    ]


def test_the_documentation_names_every_command() -> None:
    named = {words[1] for page in PAGES for words in commands(page) if words[0] == "attnlab"}
    assert set(COMMANDS) <= named
