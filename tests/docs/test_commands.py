"""Every command that the documentation shows is typed here, page by page and in order, with smaller trainings.

The commands of a page share a folder in which a reader's files and a first run lie, so that what a page trains, the
page can go on with.
"""

from __future__ import annotations

import gzip
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

import attnlab
from attnlab.cli import COMMANDS, run
from attnlab.config import conf_dir, register_resolvers
from attnlab.data.csv_file import ASSETS

REPOSITORY = Path(__file__).parents[2]
EXAMPLE_PACKAGE = REPOSITORY / "examples" / "third_party"
PAGES = [REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *sorted(REPOSITORY.glob("docs/**/*.md"))]
#: What is not run, by words of it, and why; its options are looked up in the command's help.
NOT_RUN = {
    "dashboard": "shows runs until it is stopped",
    "resume": "goes on with a run that was stopped, and there is none",
    "sync": "needs a server",
    "sweep=wandb": "asks a server for the values of each run",
    "train sweep=wandb": "needs a server",
    "options --matrix": "tries thousands of models, for a minute",
}
#: What a reader puts in the place of these.
PLACEHOLDERS = {
    r"runs/<run>|\bRUN\b": "runs/first",
    r"\bNAME\b": "adding",
    r"\bCOMMAND\b": "train",
    r"runs/<other>": "runs/first",
    r"/abs/path": str(EXAMPLE_PACKAGE),
}
#: Added to every training, where the configuration has such an option.
SMALLER = {
    "dim": 8,
    "trainer.max_steps": 2,
    "trainer.limit_val_batches": 1,
    "trainer.limit_test_batches": 2,
    "data.num_train": 32,
    "data.num_val": 8,
    "data.num_test": 8,
    "data.batch_size": 8,
    "data.lookback": 24,
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


def write_measurements(path: Path) -> None:
    random, rows = np.random.default_rng(0), 400
    hours = np.datetime64("2024-01-01T00:00:00") + np.arange(rows) * np.timedelta64(3600, "s")
    load = 50 + 10 * np.sin(np.arange(rows) * np.pi / 12) + random.normal(size=rows)
    lines = [f"{hour},{a:.2f},{b:.2f}" for hour, a, b in zip(hours, load, random.normal(size=rows), strict=True)]
    path.write_text("\n".join(["date,load_kw,temperature", *lines]) + "\n")


def write_stories(folder: Path) -> None:
    folder.mkdir()
    story = "1 Mary went to the garden.\n2 John went to the office.\n3 Where is Mary?\tgarden\t1\n"
    for part in ("train", "test"):
        (folder / f"qa1_single-supporting-fact_{part}.txt").write_text(20 * story)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that readers are told to have: measurements, stories, pairs, and a finished run."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("my.csv", "new.csv", "building.csv"):
        write_measurements(folder / name)
    write_stories(folder / "en-10k")
    (folder / "pairs.tsv").write_text("".join(f"word {i}\ttranslation {i}\n" for i in range(40)))
    words = ["data=table", f"data.path={folder}/my.csv", "data.time=date", "data.lookback=12", "data.season=12"]
    assert run(["train", *smaller(words), f"hydra.run.dir={folder}/runs/first"]) == 0
    return folder


@pytest.fixture
def desk(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of those, where the commands are typed."""
    monkeypatch.syspath_prepend(str(EXAMPLE_PACKAGE))
    monkeypatch.chdir(shutil.copytree(prepared, tmp_path / "desk"))
    return tmp_path / "desk"


def smaller(words: list[str]) -> list[str]:
    """The same training in a second: few examples, few steps, small files; of a sweep two seeds and two rivals."""
    widths = {"seed": 1 if any(word.startswith("logger=") for word in words) else 2}
    kept = []
    for word in words:
        key, _, value = word.partition("=")
        if "," in value and not re.search(r"[\[({]", value):
            rival_seen = any(other != "seed" for other in widths)
            value = ",".join(value.split(",")[: widths.setdefault(key, 1 if rival_seen else 2)])
            word = f"{key}={value}"
        if key == "data.path" and "tasks_1-20" in value:
            word = "data.path=en-10k"
        if key not in SMALLER or key == "dim":
            kept.append(word)
    register_resolvers()
    plain = [re.sub(r"(=[^,\[]*),.*", r"\1", word) for word in kept if not word.startswith("-")]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        cfg = compose("train", plain, return_hydra_config=True)
    HydraConfig.instance().set_config(cfg)
    if cfg.data.get("path") == "embedded:beijing_pm25.csv.gz":
        kept.append(f"data.path={hours_of_beijing(600)}")
    typed = {word.partition("=")[0] for word in plain}
    for key, value in SMALLER.items():
        missing = object()
        if OmegaConf.select(cfg, key, default=missing) is not missing and key not in typed:
            kept.append(f"{key}={value}")
    return kept


def hours_of_beijing(count: int) -> Path:
    """The embedded file made short: its first hours, with values from all seasons, so that there is rain and snow."""
    path = Path("beijing.csv")
    with gzip.open(ASSETS / "beijing_pm25.csv.gz", "rt") as file:
        header, *rows = [line.rstrip().split(",") for line in file]
    every = len(rows) // count
    lines = [header, *(hour[:5] + values[5:] for hour, values in zip(rows[:count], rows[::every], strict=False))]
    path.write_text("".join(",".join(line) + "\n" for line in lines))
    return path


def type_in(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Runs `attnlab …` as it stands, or reads its options where it must not run."""
    command, *rest = words
    assert command in COMMANDS or command.startswith("-"), f"attnlab {command} is not a command"
    reason = next((why for some, why in NOT_RUN.items() if some in " ".join(words)), None)
    studies = [word.partition("study/")[2] for word in rest if word.startswith("experiment=study/")]
    if reason is not None:
        check_options(words, capsys)
        return
    if not rest and command not in ("runs", "options"):  # a sentence that names the command
        words = [command, "--help"]
    elif studies:
        words = ["study", *studies, "--list"]
    elif command == "study":
        check_options(words, capsys)
        words = ["study", rest[0], "--list"]
    elif command == "train" and not set(rest) & {"--cfg", "-h", "--help"}:
        words = ["train", *smaller(rest)]
    capsys.readouterr()
    status = status_of(words)
    assert status == 0, f"attnlab {shlex.join(words)}\n{capsys.readouterr().err}"


def status_of(words: list[str]) -> int:
    try:
        return run(words)
    except SystemExit as ended:  # as argparse ends
        return int(ended.code or 0)


def check_options(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of([words[0], "--help"]) == 0
    known = capsys.readouterr().out
    for option in words[1:]:
        if option.startswith("-"):
            assert option.partition("=")[0] in known, f"attnlab {words[0]} knows no {option}"


def having(found: Callable[[Path], object]) -> pytest.MarkDecorator:
    """The pages in which something was found."""
    return pytest.mark.parametrize(
        "page", [page for page in PAGES if found(page)], ids=lambda path: path.relative_to(REPOSITORY).as_posix()
    )


@having(lambda page: commands(page) or python_blocks(page))
def test_every_command_of_a_page_can_be_typed(
    page: Path, desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for program, *words in commands(page):
        if program == "make":
            check_target(words)
        else:
            type_in(words, capsys)
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
