"""attnlab dashboard, as a person types it."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from attnlab import cli


def test_the_address_is_printed_and_answers(tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("attnlab")
    words = [program, "dashboard", f"run_dir={tmp_path}", "--port", "0", "--no-browser"]
    started = time.monotonic()
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            address = re.search(r"http://127\.0\.0\.1:\d+/", line)
            assert address, line
            with urllib.request.urlopen(address[0], timeout=30) as answer:
                assert "<title>attnlab</title>" in answer.read().decode()
            print(f"\nthe dashboard answered {time.monotonic() - started:.1f} s after it was called")
        finally:
            process.terminate()
            process.wait(20)


def test_a_port_in_use_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.run(["dashboard", f"run_dir={tmp_path}", "--port", str(port), "--no-browser"]) == 2
    error = capsys.readouterr().err
    assert error == f"attnlab: port {port} cannot be used (Address already in use); choose another with --port N\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run_dir=nowhere"], "nowhere is not a folder of runs"),
        (["dim=3"], "attnlab dashboard does not know dim=3; say run_dir=DIR"),
        (["run_dir=.", "--port", "70000"], "--port 70000 is no port"),
    ],
)
def test_what_cannot_be_shown_is_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["dashboard", *words, "--no-browser"]) == 2
    assert said in capsys.readouterr().err


def test_torch_stays_out_of_it() -> None:
    code = (
        "import sys, attnlab.dashboard.app; print(sorted({'torch', 'scipy', 'altair', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
