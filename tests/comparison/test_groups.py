from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from attnlab.comparison import Arrangement, Candidate, arrange, candidates, choose
from attnlab.errors import UserError
from attnlab.runs.record import RunRecord
from attnlab.runs.store import RunStore

Make = Callable[..., Path]
SCORE = {"val/accuracy": 0.5}


def found_in(folder: Path) -> list[Candidate]:
    return candidates(RunStore(folder / "runs").list())


def arranged(folder: Path, by: Sequence[str] = ("encoder",), **options: object) -> Arrangement:
    return arrange(found_in(folder), by=by, **options)  # type: ignore[arg-type]


def test_runs_become_problems_of_groups_of_seeds(tmp_path: Path, make_run: Make) -> None:
    for data in ("reverse", "sort"):
        for encoder, base in (("gru", 0.5), ("lstm", 0.6)):
            for seed in (2, 1):
                make_run({**SCORE, "test/accuracy": base + seed / 100}, seed=seed, data=data, encoder=encoder)
    found = arranged(tmp_path)
    assert [(p.name, p.metric, p.mode) for p in found.problems] == [
        ("reverse", "test/accuracy", "max"),
        ("sort", "test/accuracy", "max"),
    ]
    assert found.problems[0].groups == {"gru": {1: 0.51, 2: 0.52}, "lstm": {1: 0.61, 2: 0.62}}
    assert found.problems[0].sample("gru").tolist() == [0.51, 0.52]
    assert found.remarks == ()


def test_seeds_belong_together_where_both_groups_have_the_same(tmp_path: Path, make_run: Make) -> None:
    for encoder, seeds in (("gru", (1, 2)), ("lstm", (2, 1)), ("tcn", (1, 3))):
        for seed in seeds:
            make_run({**SCORE, "test/accuracy": 0.5}, seed=seed, data="sort", encoder=encoder)
    (problem,) = arranged(tmp_path).problems
    assert problem.paired("gru", "lstm")
    assert not problem.paired("gru", "tcn")


def test_groups_are_named_by_choices_and_by_config_keys(tmp_path: Path, make_run: Make) -> None:
    for dim in (8, 16):
        make_run({**SCORE, "test/accuracy": 0.5}, config=f"encoder: {{dim: {dim}}}", data="sort", encoder="gru")
    (problem,) = arranged(tmp_path, ["encoder", "encoder.dim"]).problems
    assert list(problem.groups) == ["gru + dim=8", "gru + dim=16"]


def test_a_group_that_mixes_settings_is_refused_with_the_key_and_the_way_out(tmp_path: Path, make_run: Make) -> None:
    for seed, length in ((1, 5), (2, 9)):
        config = f"seed: {seed}\ndata: {{length: {length}, seed: {seed}}}"
        make_run({**SCORE, "test/accuracy": 0.5}, seed=seed, config=config, data="sort", encoder="gru")
    with pytest.raises(UserError) as refused:
        arranged(tmp_path)
    assert str(refused.value) == (
        "the runs of gru on sort differ in data.length (5, 9), so their mean would say nothing; "
        "add data.length to --by, or choose with --where data.length=5"
    )
    assert len(arranged(tmp_path, ["encoder", "data.length"]).problems[0].groups) == 2
    chosen = choose(found_in(tmp_path), {"data.length": ["9"]})
    assert arrange(chosen, by=["encoder"]).problems[0].groups == {"gru": {2: 0.5}}


def test_a_choice_that_differs_is_named_before_the_keys_below_it(tmp_path: Path, make_run: Make) -> None:
    for attention in ("dot", "additive"):
        config = f"attention: {{_target_: {attention}}}"
        make_run({**SCORE, "test/accuracy": 0.5}, config=config, data="sort", encoder="gru", attention=attention)
    with pytest.raises(UserError, match=r"differ in attention \(additive, dot\), so"):
        arranged(tmp_path)


def test_data_that_changed_are_other_data(tmp_path: Path, make_run: Make) -> None:
    for seed in (1, 2):
        made = {"data_sha256": f"{seed:04x}"}
        make_run({"val/mae": 1.0, "test/mae": 1.0}, seed=seed, meta=made, data="table", encoder="gru")
    with pytest.raises(UserError, match=r"differ in data_sha256 \(0001, 0002\)"):
        arranged(tmp_path)


def test_where_a_run_was_made_and_what_watched_it_do_not_matter(tmp_path: Path, make_run: Make) -> None:
    for seed in (1, 2):
        config = (
            f"seed: {seed}\nrun_id: r{seed}\nrun_dir: /r{seed}\ndata: {{seed: {seed}, path: /d{seed}.csv}}\n"
            f"logger: {{l{seed}: {{a: {seed}}}}}\ntrainer: {{accelerator: a{seed}}}\n"
        )
        make_run({**SCORE, "test/accuracy": 0.5}, seed=seed, config=config, data="sort", logger=f"l{seed}")
    assert len(arranged(tmp_path, ["data"]).problems[0].groups["sort"]) == 2


def test_of_runs_with_the_same_seed_the_latest_counts(tmp_path: Path, make_run: Make) -> None:
    for day, value in ((2, 0.7), (1, 0.4)):
        started = {"started": f"2026-11-0{day}T00:00:00+00:00"}
        make_run({**SCORE, "test/accuracy": value}, meta=started, data="sort", encoder="gru")
    found = arranged(tmp_path)
    assert found.problems[0].groups == {"gru": {1: 0.7}}
    assert found.remarks == ("gru: of runs with the same seed the latest counts",)


def test_runs_that_are_left_out_are_told(tmp_path: Path, make_run: Make) -> None:
    make_run({**SCORE, "test/accuracy": 0.5}, seed=1, data="sort", encoder="gru")
    make_run({**SCORE, "test/accuracy": float("nan")}, seed=2, data="sort", encoder="gru")
    for seed in (3, 4):
        failed = RunRecord.create(
            tmp_path / "runs" / f"failed{seed}",
            config_yaml="",
            overrides=[],
            choices={"data": "sort", "encoder": "gru"},
            seed=seed,
        )
        failed.fail(ValueError("the loss became nan"))
    found = arranged(tmp_path)
    assert found.problems[0].groups == {"gru": {1: 0.5}}
    assert found.remarks == (
        "without 2 failed runs: gru (2)",
        "gru: without seed 2, which has no test/accuracy",
    )


def test_any_number_of_the_summary_can_be_compared(tmp_path: Path, make_run: Make) -> None:
    make_run({**SCORE, "test/accuracy": 0.5, "train_seconds": 7.0, "test/odd": 3}, data="sort", encoder="gru")
    (problem,) = arranged(tmp_path, metric="train_seconds").problems
    assert (problem.mode, problem.groups) == ("min", {"gru": {1: 7.0}})
    assert arranged(tmp_path, metric="test/odd", best="max").problems[0].mode == "max"
    with pytest.raises(UserError, match="nothing says whether more or less of test/odd is better; say --best max"):
        arranged(tmp_path, metric="test/odd")


def test_the_same_number_can_be_found_by_another_spelling(tmp_path: Path, make_run: Make) -> None:
    make_run({**SCORE, "test/accuracy": 0.5}, config="optimizer: {lr: 0.001}", data="sort", encoder="gru")
    assert len(choose(found_in(tmp_path), {"optimizer.lr": ["1e-3"]})) == 1


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        ({"encodr": ["gru"]}, "--where encodr: no run has such a key; did you mean encoder?"),
        ({"encoder": ["grv"]}, "--where encoder=grv: no run has that; did you mean gru?"),
        ({"seed": ["1"]}, "--where seed would leave nothing to compare: seeds are the repetitions; leave it out"),
        ({"encoder": ["gru"], "data": ["copy"]}, "no run meets every --where at once; leave one out"),
    ],
)
def test_what_no_run_has_is_refused(where: dict[str, list[str]], sentence: str, tmp_path: Path, make_run: Make) -> None:
    make_run({**SCORE, "test/accuracy": 0.5}, data="sort", encoder="gru")
    make_run({**SCORE, "test/accuracy": 0.5}, data="copy", encoder="lstm")
    with pytest.raises(UserError) as refused:
        choose(found_in(tmp_path), where)
    assert str(refused.value) == sentence


def test_a_metric_or_key_that_no_run_has_is_refused(tmp_path: Path, make_run: Make) -> None:
    make_run({**SCORE, "test/accuracy": 0.5}, data="sort", encoder="gru")
    with pytest.raises(
        UserError, match=r"--metric test/acuracy: no run has such a number; did you mean test/accuracy\?"
    ):
        arranged(tmp_path, metric="test/acuracy")
    with pytest.raises(UserError, match=r"--by attenton: no run has such a key; choose from"):
        arranged(tmp_path, ["attenton"])


def test_data_that_are_judged_differently_are_not_compared_by_default(tmp_path: Path, make_run: Make) -> None:
    make_run({"val/accuracy": 0.5, "test/accuracy": 0.5}, data="sort")
    make_run({"val/mae": 0.5, "test/mae": 0.5}, data="beijing")
    with pytest.raises(UserError, match="the runs of all are judged by test/accuracy and test/mae; name one number"):
        arranged(tmp_path, ["data"])
