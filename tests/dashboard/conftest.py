"""A small sweep that was really trained, a dashboard of it, and a browser that may ask nobody but the dashboard."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from playwright.sync_api import Browser, Page, Route, expect, sync_playwright

from attnlab import cli

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    *["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
    *["--disable-sync", "--no-first-run"],
]
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
#: Pictures of the whole page, and not of its first screen.
WHOLE = ("compare_1280",)

COMMON = ["trainer=cpu", "dim=8", "data.num_train=48", "data.num_val=16", "data.num_test=16", "data.batch_size=16"]
REVERSE = ["data=reverse", "data.length=3-6", "data.num_symbols=5", "trainer.max_steps=9", "trainer.max_epochs=3"]
#: folder → what is typed for it. Two rivals over two seeds, and one of each other kind of data.
SWEEP = {
    **{
        f"reverse_{attention}_s{seed}": [*REVERSE, *COMMON, "encoder=gru", f"attention={attention}", f"seed={seed}"]
        for attention in ("additive", "dot")
        for seed in (1, 2)
    },
    "tsp": ["data=tsp", "data.num_points=5", "encoder=transformer", "trainer.max_epochs=2", *COMMON],
    "forecast": [
        *["data=table", "data.time=date", "data.lookback=24", "data.horizon=6", "data.batch_size=16", "dim=8"],
        *["encoder=gru", "trainer=cpu", "trainer.max_epochs=2", "trainer.max_steps=8"],
    ],
}


#: What is added for pictures, which should show runs that have learned something.
LONGER = {
    "reverse": ["data.num_train=432", "trainer.max_steps=80", "optimizer.lr=0.02", "dim=24"],
    "tsp": ["data.num_train=1024", "dim=32"],
    "forecast": ["trainer.max_steps=80", "trainer.max_epochs=20", "dim=16"],
}


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory, worker_id: str, pytestconfig: pytest.Config) -> Path:
    """A folder of six finished runs. Read it only: it is trained once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    folder = shared / "sweep"
    with FileLock(shared / "sweep.lock"):
        if not (folder / "complete").exists():
            write_measurements(shared / "measurements.csv")
            for name, overrides in SWEEP.items():
                more = [f"data.path={shared / 'measurements.csv'}"] if name == "forecast" else []
                if pytestconfig.getoption("--pictures"):
                    more += LONGER[name.partition("_")[0]]
                status = cli.run(["train", *overrides, *more, f"hydra.run.dir={folder / name}"])
                assert status == 0, name
            (folder / "complete").touch()
    return folder


@pytest.fixture
def copied_sweep(sweep: Path, tmp_path: Path) -> Path:
    """The same for a test that writes to it."""
    return shutil.copytree(sweep, tmp_path / "runs")


def write_measurements(file: Path, hours: int = 400) -> None:
    """Two variables with a daily rhythm."""
    start = datetime(2026, 1, 1)
    lines = ["date,load,temperature"]
    for hour in range(hours):
        turn = 2 * math.pi * hour / 24
        wobble = math.sin(hour * 12.9898) / 5
        lines.append(f"{start + timedelta(hours=hour)},{10 + 3 * math.sin(turn) + wobble:.4f},{5 + math.cos(turn):.4f}")
    file.write_text("\n".join(lines) + "\n")


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """A dashboard of the folder in a thread of this process; its address."""
    import uvicorn

    from attnlab.commands.dashboard import listen
    from attnlab.dashboard.app import create_app

    listening = listen(0)
    server = uvicorn.Server(uvicorn.Config(create_app(folder), log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


@contextmanager
def serving_alone(folder: Path) -> Iterator[str]:
    """The same in a process of its own, as a person starts it: for what is timed."""
    program = Path(sys.executable).with_name("attnlab")
    words = [program, "dashboard", f"run_dir={folder}", "--port", "0", "--no-browser"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            found = re.search(r"http://127\.0\.0\.1:\d+", process.stdout.readline())
            assert found
            yield found[0]
        finally:
            process.terminate()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not here: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """open_page(address, width=…, dark=…) → a page. At the end: no other host was asked, and no script failed."""
    asked, faults, contexts = set(), [], []

    def watch(route: Route) -> None:
        host = urlsplit(route.request.url).hostname
        if host == "127.0.0.1" or urlsplit(route.request.url).scheme in ("data", "blob", "file"):
            route.continue_()
        else:
            asked.add(host)
            route.abort()

    def open_(address: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        context.set_default_timeout(20_000)
        context.route("**/*", watch)
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda entry: faults.append(entry.text) if entry.type == "error" else None)
        page.goto(address)
        return page

    expect.set_options(timeout=20_000)
    yield open_
    for context in contexts:
        context.close()
    assert asked == set()
    assert faults == []


def refuse(page: Page, part: str, sentence: str) -> None:
    """From now on, and after a reload, the dashboard refuses what has `part` in its path.

    Inside the page, since the browser would report a real answer of this kind as a fault of the page.
    """
    script = f"""{{
        const send = window.fetch;
        const refused = () => new Response(JSON.stringify({{ error: {sentence!r} }}), {{ status: 400 }});
        window.accept = () => {{ window.fetch = send; }};
        window.fetch = async (path, options) => String(path).includes({part!r}) ? refused() : send(path, options);
        void 0;
    }}"""
    page.add_init_script(script)
    page.evaluate(script)


@pytest.fixture
def dashboard(sweep: Path) -> Iterator[str]:
    """The address of a dashboard of the sweep."""
    with serving(sweep) as address:
        yield address


@pytest.fixture
def page(dashboard: str, open_page: Callable[..., Page]) -> Page:
    """The dashboard of the sweep in a browser of 1280 × 800; `page.goto(f"{dashboard}/#/attention")` goes on."""
    return open_page(dashboard)


@pytest.fixture
def picture(request: pytest.FixtureRequest) -> Callable[[Page, str], None]:
    """picture(page, name) keeps a screenshot in docs/pictures, where pytest was called with --pictures."""

    def keep(page: Page, name: str) -> None:
        if request.config.getoption("--pictures"):
            time.sleep(0.5)  # a chart's last frame
            PICTURES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=PICTURES / f"dashboard_{name}.png", full_page=name in WHOLE)

    return keep
