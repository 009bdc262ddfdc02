"""attnlab dashboard: the runs in the browser."""

from __future__ import annotations

import argparse
import socket
import threading
import webbrowser
from pathlib import Path

from attnlab.commands.selection import run_folder
from attnlab.errors import UserError

PORT = 8642
#: Seconds that the first page has for itself.
WARM_AFTER = 2.0


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        "attnlab dashboard",
        description="Runs, comparisons, attention and predictions in the browser, from files of this machine alone. "
        "Also: run_dir=DIR (default runs).",
    )
    parser.add_argument("overrides", nargs="*", metavar="run_dir=DIR")
    parser.add_argument("--port", type=int, default=PORT, metavar="N", help=f"default {PORT}; 0 takes any that is free")
    parser.add_argument("--no-browser", action="store_true", help="print the address and open nothing")
    options = parser.parse_args(arguments)
    folder = run_folder("dashboard", options.overrides)
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder of runs (looked from {Path.cwd()}); say run_dir=DIR")
    serve(folder, options.port, open_browser=not options.no_browser)
    return 0


def serve(folder: Path, port: int, *, open_browser: bool) -> None:
    """Until it is stopped with Ctrl-C. On loopback only."""
    listening = listen(port)  # before the imports: whoever connects early waits instead of being refused
    address = f"http://127.0.0.1:{listening.getsockname()[1]}/"
    import uvicorn

    from attnlab.dashboard.app import create_app

    app = create_app(folder.resolve())
    threading.Thread(target=app.state.store.warm, daemon=True).start()  # while the browser opens
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    print(f"dashboard of {folder} on {address} (Ctrl-C stops it)", flush=True)
    warming = threading.Timer(WARM_AFTER, _warm)
    warming.daemon = True
    warming.start()
    if open_browser:
        webbrowser.open(address)
    server.run(sockets=[listening])


def _warm() -> None:
    """What charts and intervals need, before somebody waits for it."""
    import scipy.stats  # noqa: F401

    from attnlab.dashboard.vega import vega_bundle

    vega_bundle()


def listen(port: int) -> socket.socket:
    if not 0 <= port < 65536:
        raise UserError(f"--port {port} is no port; give a number from 0 to 65535")
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UserError(f"port {port} cannot be used ({error.strerror}); choose another with --port N") from None
    return listening
