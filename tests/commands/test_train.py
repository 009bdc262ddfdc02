from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from attnlab.cli import run
from attnlab.config import GROUPS, choices, conf_dir
from attnlab.training.task import Task


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNLAB_DEBUG", raising=False)
    monkeypatch.chdir(tmp_path)


def records() -> list[Path]:
    """Folders of run records below runs/, oldest first."""
    return sorted(file.parent for file in Path("runs").glob("*/meta.json"))


def meta_of(path: Path) -> dict:
    return json.loads((path / "meta.json").read_text())


REFUSED = {
    "an unknown option": (["data.lenght=3"], "data.lenght is not an option: data has no lenght; did you mean length?"),
    "an unknown top option": (["sed=3"], "sed is not an option: .* did you mean seed?"),
    "an unknown group": (["atention=dot"], "atention is not an option: .* did you mean attention?"),
    "an unknown choice": (["encoder=lstmm"], "encoder=lstmm is not an option; did you mean lstm?"),
    "a choice like no other": (["optimizer=zzzz"], "optimizer=zzzz is not an option; choose from adam, adamw, sgd"),
    "an option inside nothing": (["encodr.depth.x=3"], "encodr.depth.x is not an option, and neither is encodr.depth"),
    "an option added to a part": (["+data.foo=3"], "data.foo is not an option; choose from "),
    "a word for a whole number": (["dim=abc"], "dim=abc must be a whole number"),
    "a fraction for a whole number": (["data.num_train=1.5"], "data.num_train=1.5 must be a whole number"),
    "a word for a number": (["scheduler.warmup=slow"], "scheduler.warmup=slow must be a number"),
    "a width of nothing": (["dim=0"], "dim=0 must be at least 1"),
    "a share above one": (["scheduler.warmup=1.5"], "scheduler.warmup=1.5 must be a share of all steps"),
    "a learning rate below zero": (["optimizer.lr=-1"], "Invalid learning rate: -1"),
    "an option that the optimizer lacks": (
        ["+optimizer.foo=1"],
        "optimizer.foo is not an option; choose from params, lr",
    ),
    "a word for a learning rate": (["optimizer.lr=fast"], "optimizer.lr=fast must be a number"),
    "batches of nothing": (["data.batch_size=0"], "data.batch_size=0 must be at least 1"),
    "neither number nor range": (["data.length=x"], "data.length=x is neither a number nor a range such as 5-20"),
    "a device that is not there": (
        ["trainer.accelerator=abacus"],
        "trainer cannot be made as .*abacus",
    ),
    "more devices than one": (["trainer.devices=2"], "trainer.devices=2 .* use trainer.devices=1"),
    "a normalizer of fixed weights": (
        ["attention=uniform", "attention/normalizer=sparsemax"],
        "attention/normalizer would have no effect: the weights of attention=uniform are fixed",
    ),
    "a number of heads that divides nothing": (["attention.num_heads=3"], "num_heads=3 cannot divide .*=8"),
    "training without end": (["trainer.max_epochs=-1"], "training would never end; give trainer.max_steps"),
    "a list without a sweep": (["encoder=lstm,gru"], "To sweep over it, add --multirun"),
    "a parent that is a file": (["run_dir=file.txt"], "file.txt/.* cannot hold a run record .* choose another run_dir"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_told_in_one_sentence_and_leaves_nothing(
    case: str, reverse: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("file.txt").touch()
    overrides, sentence = REFUSED[case]
    assert run(["train", *reverse, *overrides]) == 2
    told = capsys.readouterr().err
    assert told.count("attnlab: ") == 1
    assert told.count("\n") <= 2  # the sentence; one that lists reasons has a line for each
    assert re.search(sentence, told)
    assert "Traceback" not in told
    assert not list(Path().glob("runs/*"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["data.time=date"], r"data.path has no value yet; say data.path=… \(a CSV file with a header line"),
        (["data.path=no.csv"], r"data.time has no value yet; say data.time=… \(the column of time stamps"),
        (["data.path=no.csv", "data.time=date"], "no.csv is not a file"),
    ],
)
def test_a_table_needs_a_file_and_the_name_of_its_times(
    overrides: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "data=table", *overrides]) == 2
    told = capsys.readouterr().err
    assert re.search(sentence, told)
    assert told.count("\n") == 1
    assert not list(Path().glob("runs/*"))


def test_an_incompatible_choice_lists_every_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "data=tsp", "encoder=transformer", "attention=none"]) == 2
    headline, *reasons = capsys.readouterr().err.splitlines()
    assert headline == "attnlab: cannot train data=tsp encoder=transformer attention=none head=pointer:"
    assert len(reasons) == 2
    assert reasons[0].startswith("  - encoder=transformer is made of attention")
    assert reasons[1].startswith("  - head=pointer predicts with the attention's weights")
    assert not list(Path().glob("runs/*"))


def test_the_folder_of_another_run_is_refused_and_left_alone(
    reverse: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("first").mkdir()
    Path("first/meta.json").write_text('{"run_id": "first", "pid": 1}')
    assert run(["train", *reverse, "hydra.run.dir=first"]) == 2
    assert re.search("first already holds a run record; choose another hydra.run.dir", capsys.readouterr().err)
    assert Path("first/meta.json").read_text() == '{"run_id": "first", "pid": 1}'


@pytest.mark.parametrize("overrides", [["dim=0"], ["data.length=x"], ["encoder=lstmm"]])
def test_debugging_shows_the_traceback_too(
    overrides: list[str], reverse: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTNLAB_DEBUG", "1")
    assert run(["train", *reverse, *overrides]) == 2
    told = capsys.readouterr().err
    assert "Traceback (most recent call last)" in told
    assert told.splitlines()[-1].startswith("attnlab: ")


def test_a_fault_of_ours_leaves_a_failed_record_and_exit_status_1(
    reverse: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object) -> None:
        raise PermissionError(13, "the disk is gone", "x")

    monkeypatch.setattr(Task, "validation_step", broken)
    assert run(["train", *reverse]) == 1
    told = capsys.readouterr().err
    assert told.startswith("attnlab: PermissionError: [Errno 13] the disk is gone: 'x'\n")
    assert "Traceback" not in told
    (path,) = records()
    assert meta_of(path)["status"] == "failed"
    assert meta_of(path)["error"] == "PermissionError: [Errno 13] the disk is gone: 'x'"


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Lightning leaves Ctrl-C without effect behind."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("sweep", [[], ["-m", "seed=1,2"]])
def test_ctrl_c_leaves_a_failed_record_and_ends_a_sweep(
    sweep: list[str], reverse: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Task, "training_step", interrupted)
    assert run(["train", *sweep, *reverse]) == 1
    assert capsys.readouterr().err == "\nattnlab: stopped\n"
    (path,) = records()
    assert meta_of(path)["status"] == "failed"
    assert meta_of(path)["error"] == "KeyboardInterrupt: stopped by the user"


def test_a_sweep_makes_a_record_for_each_combination(reverse: list[str]) -> None:
    assert run(["train", "data=reverse", "-m", "seed=1,2", "attention=dot,none", *reverse]) == 0
    made = {(meta["choices"]["attention"], meta["seed"]) for meta in map(meta_of, records())}
    assert made == {("dot", 1), ("dot", 2), ("none", 1), ("none", 2)}
    assert [meta_of(path)["status"] for path in records()] == ["finished"] * 4
    assert len({(path / "config.yaml").read_text() for path in records()}) == 4


def test_a_job_that_is_refused_does_not_stop_the_sweep(reverse: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for word in reverse if not word.startswith("data.length")]
    assert run(["train", "-m", *words, "data.length=x,3"]) == 1
    told = capsys.readouterr().err
    assert "attnlab: data.length=x is neither a number nor a range" in told
    assert told.splitlines()[-1].startswith("attnlab: some runs of this sweep failed")
    by_length = {OmegaConf.load(path / "config.yaml").data.length: meta_of(path) for path in records()}
    assert by_length[3]["status"] == "finished"
    assert by_length["x"]["status"] == "failed"
    assert by_length["x"]["error"].startswith("UserError: data.length=x is neither")


def test_a_sweep_over_an_unknown_choice_is_refused_before_it_begins(
    reverse: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "-m", *reverse, "encoder=lstm,lstmm"]) == 2
    assert capsys.readouterr().err == "attnlab: encoder=lstmm is not an option; did you mean lstm?\n"
    assert records() == []


def test_the_configuration_is_printed_as_yaml_without_training(
    reverse: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", *reverse, "--cfg", "job", "optimizer.lr=0.25"]) == 0
    printed = OmegaConf.create(capsys.readouterr().out)
    assert printed.data._target_ == "attnlab.data.Reverse"
    assert printed.optimizer.lr == 0.25
    assert printed.dim == 8
    assert "hydra" not in printed
    assert list(Path().iterdir()) == []


def test_help_says_every_choice_of_every_group_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for group in GROUPS:
        start = lines.index(f"{group}=") + 1
        names = [path.stem for path in sorted((conf_dir() / group).glob("*.yaml"))]
        assert len(names) > 0
        for line, name in zip(lines[start:], names, strict=False):
            assert line.split(maxsplit=1) == [name, choices(group)[name]]
            assert len(choices(group)[name]) > 10


def test_the_record_goes_where_it_is_told_to(reverse: list[str]) -> None:
    assert run(["train", *reverse, "run_dir=elsewhere"]) == 0
    (path,) = Path("elsewhere").glob("*/meta.json")
    assert re.fullmatch(r"\d{8}-\d{6}_reverse_lstm_additive_s1_[0-9a-f]{4}", path.parent.name)
    assert not Path("runs").exists()
