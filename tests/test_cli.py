from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import attnlab
from attnlab.cli import COMMANDS, main, run
from attnlab.errors import UserError, find_refusal
from attnlab.runs.record import RunRecord


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_help_names_every_command(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    shown = capsys.readouterr().out.splitlines()
    for name, text in COMMANDS.items():
        assert [name, text] in [line.split(maxsplit=1) for line in shown]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists_and_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = run([command, "--help"])
    except SystemExit as ended:  # as argparse ends
        status = ended.code
    assert status == 0
    assert f"usage: attnlab {command}" in capsys.readouterr().out


@pytest.mark.parametrize("flag", ["-V", "--version"])
def test_the_version_is_that_of_the_package(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([flag]) == 0
    assert capsys.readouterr().out == f"attnlab {attnlab.__version__}\n"


def test_an_unknown_command_is_refused_with_what_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluat", "runs/1"]) == 2
    assert capsys.readouterr().err == "attnlab: attnlab evaluat is not a command; did you mean evaluate?\n"


def behave(monkeypatch: pytest.MonkeyPatch, error: BaseException | None) -> None:
    """Lets `attnlab options` raise an error."""

    def command(arguments: list[str]) -> int:
        if error is not None:
            raise error
        return 0

    monkeypatch.setattr(import_module("attnlab.commands.options"), "main", command)


@pytest.mark.parametrize(
    ("error", "status", "told"),
    [
        (None, 0, ""),
        (UserError("dim=0 must be at least 1"), 2, "attnlab: dim=0 must be at least 1\n"),
        (
            KeyError("x"),
            1,
            "attnlab: KeyError: 'x'\n(ATTNLAB_DEBUG=1 shows where; this is a fault of attnlab, not of your input)\n",
        ),
        (KeyboardInterrupt(), 1, "\nattnlab: stopped\n"),
    ],
)
def test_the_exit_status_says_whose_fault_it_was(
    error: BaseException | None,
    status: int,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("ATTNLAB_DEBUG", raising=False)
    behave(monkeypatch, error)
    with pytest.raises(SystemExit) as ended:
        main(["options"])
    assert ended.value.code == status
    assert capsys.readouterr().err == told


def test_debugging_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ATTNLAB_DEBUG", "1")
    behave(monkeypatch, KeyError("x"))
    assert run(["options"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("Traceback (most recent call last):")
    assert "attnlab: KeyError: 'x'" in told


def test_a_refusal_is_found_behind_other_errors() -> None:
    refusal = UserError("dim=0 must be at least 1")
    wrapped, wrapped_twice = RuntimeError("Error in call to target"), ValueError("and again")
    wrapped.__cause__ = refusal
    wrapped_twice.__context__ = wrapped
    assert find_refusal(wrapped_twice) is refusal
    assert find_refusal(refusal) is refusal
    assert find_refusal(RuntimeError()) is None
    assert find_refusal(None) is None


def test_what_needs_no_model_loads_no_library_for_it(tmp_path: Path) -> None:
    begun = RunRecord.create(tmp_path / "runs" / "1", config_yaml="", overrides=[], choices={"data": "tsp"}, seed=1)
    begun.finish({"test/gap": 0.5})
    commands = [["--help"], ["options"], ["train", "--help"], ["runs"], ["runs", "--json"], ["evaluate", "nowhere"]]
    code = f"""
import sys
from attnlab.cli import run
statuses = [run(words) for words in {commands!r}]
heavy = {{"torch", "pytorch_lightning", "hydra", "wandb", "numpy", "altair"}}
print({{"statuses": statuses, "heavy": sorted(heavy & set(sys.modules))}}, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "{'statuses': [0, 0, 0, 0, 0, 2], 'heavy': []}"


def test_a_reader_that_stops_reading_is_no_error(tmp_path: Path) -> None:
    # The pipe is closed before the first word, and so is the buffer: head would do the same, later.
    read, write = os.pipe()
    os.close(read)
    code = "from attnlab.cli import main; import sys; sys.stdout.reconfigure(line_buffering=True); main(['options'])"
    done = subprocess.run([sys.executable, "-c", code], stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_scripts_do_the_same_as_the_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(__file__).parents[1] / "scripts" / "options.py"
    done = subprocess.run([sys.executable, script, "head"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run(["options", "head"]) == 0
    assert done.stdout == capsys.readouterr().out
    for name in COMMANDS:
        source = (script.parent / f"{name}.py").read_text()
        assert f'main(["{name}", *sys.argv[1:]])' in source


def test_one_json_document_can_be_piped(tmp_path: Path) -> None:
    begun = RunRecord.create(tmp_path / "runs" / "1", config_yaml="", overrides=[], choices={"data": "tsp"}, seed=1)
    begun.finish({"test/gap": 0.5})
    program = Path(sys.executable).with_name("attnlab")
    done = subprocess.run([program, "runs", "--json"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert [found["run_id"] for found in json.loads(done.stdout)] == ["1"]
    assert done.stderr == ""
