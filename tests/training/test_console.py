from __future__ import annotations

import io
import logging
import sys

import pytest
from rich.console import Console
from rich.table import Table

from attnlab.training import console
from attnlab.training.console import quiet_libraries, say


def test_what_is_said_is_shown_and_kept(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="attnlab"):
        say("run      [bold]runs/1[/bold]")
    assert capsys.readouterr().out == "run      runs/1\n"
    assert caplog.messages == ["run      runs/1"]


def test_a_table_is_kept_as_plain_text(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    table = Table()
    table.add_column("mae")
    table.add_row("[bold]0.2500[/bold]")
    with caplog.at_level(logging.INFO, logger="attnlab"):
        say(table)
    assert "│ 0.2500 │" in capsys.readouterr().out
    assert "│ 0.2500 │" in caplog.messages[0]
    assert "\x1b" not in caplog.messages[0]


def test_a_long_path_is_not_broken(capsys: pytest.CaptureFixture[str]) -> None:
    say("run      " + "x" * 300)
    assert "x" * 300 in capsys.readouterr().out


def test_the_screen_is_as_wide_as_tables_need_where_there_is_none() -> None:
    assert console.console().width == 120


def test_a_terminal_decides_its_width(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("COLUMNS", "77")
    assert isinstance(console.console(), Console)
    assert console.console().width == 77


def test_the_tips_of_libraries_stay_off_the_screen(capsys: pytest.CaptureFixture[str]) -> None:
    tips = logging.getLogger("pytorch_lightning")
    tips.addHandler(logging.StreamHandler(sys.stderr))
    quiet_libraries()
    tips.warning("use more workers")
    assert tips.handlers == []
    assert tips.propagate
    assert "use more workers" not in capsys.readouterr().err
