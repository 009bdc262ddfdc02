from __future__ import annotations

import pytest

from attnlab.cli import run
from attnlab.config import GROUPS, choices


def test_every_group_is_listed_with_a_line_for_each_choice(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["options"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.removesuffix("=") for line in lines if not line.startswith(" ")] == list(GROUPS)
    shown = [line.split(maxsplit=1) for line in lines if line.startswith(" ")]
    assert shown == [[name, text] for group in GROUPS for name, text in choices(group).items()]


def test_one_group_is_shown_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["options", "optimizer"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "optimizer="
    assert [line.split()[0] for line in lines[1:]] == ["adam", "adamw", "sgd"]
    assert "Kingma & Ba 2015" in lines[1]


def test_a_group_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["options", "optimiser"])
    assert ended.value.code == 2
    assert "invalid choice: 'optimiser'" in capsys.readouterr().err
