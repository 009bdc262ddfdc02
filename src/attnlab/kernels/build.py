"""Compiles the C beside this file with the machine's own compiler, once, and loads it."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import itertools
import os
import platform
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import torch

#: No -ffast-math: sums keep their order and a NaN stays one.
FLAGS = ("-O3", "-march=native", "-std=gnu11", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")

#: First and last of the part that a call does come first.
SIGNATURES = {
    "additive_scores": [ctypes.c_long] * 5 + [ctypes.c_void_p] * 4,
    "additive_gradients": [ctypes.c_long] * 5 + [ctypes.c_void_p] * 6,
    "relu_scores": [ctypes.c_long] * 5 + [ctypes.c_void_p] * 4,
    "relu_gradients": [ctypes.c_long] * 5 + [ctypes.c_void_p] * 6,
    "history_forward": [ctypes.c_long] * 2 + [ctypes.c_void_p],
    "history_backward": [ctypes.c_long] * 2 + [ctypes.c_void_p],
}


class NoKernels(RuntimeError):
    """This machine cannot make them; the message says why."""


@functools.cache
def kernels() -> ctypes.CDLL:
    """The compiled functions, which let other Python threads run while they do.

    Raises:
        NoKernels: there is no C compiler, or it refused; the plain forms in torch do the same.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise NoKernels("no C compiler was found (cc, gcc, clang, or the one that CC names)")
    here = Path(__file__).parent
    sources = sorted(here.glob("*.c"))
    texts = [path.read_bytes() for path in sorted([*sources, *here.glob("*.h")])]
    digest = hashlib.sha256(b"\0".join([*texts, " ".join(FLAGS).encode(), compiler.encode(), _machine()]))
    library = _cache_dir() / f"{digest.hexdigest()[:24]}.so"
    if not library.is_file():
        _compile(compiler, sources, library)
    loaded = ctypes.CDLL(str(library))
    for name, arguments in SIGNATURES.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, None
    return loaded


@functools.cache
def available() -> bool:
    """Whether the compiled functions can be used here."""
    try:
        kernels()
    except NoKernels:
        return False
    return True


def parallel(function: Callable[..., object], count: int, work: int, *arguments: object) -> None:
    """Calls function(first, last, *arguments) so that the parts cover range(count), on as many threads as torch uses.

    Args:
        work: about how many floating-point operations all of it needs; a little is not worth a second thread.
    """
    num_threads = min(torch.get_num_threads(), count, max(1, work // 1_000_000))
    bounds = [count * part // num_threads for part in range(num_threads + 1)] if num_threads else [0]
    parts = list(itertools.pairwise(bounds))
    others = [threading.Thread(target=function, args=(*part, *arguments)) for part in parts[1:]]
    for thread in others:
        thread.start()
    if parts:
        function(*parts[0], *arguments)
    for thread in others:
        thread.join()


def pointer(tensor: torch.Tensor | None) -> ctypes.c_void_p:
    """The address of a contiguous float32 (or int64) tensor on the CPU; null for None."""
    if tensor is None:
        return ctypes.c_void_p(None)
    assert tensor.is_contiguous()
    assert tensor.device.type == "cpu"
    return ctypes.c_void_p(tensor.data_ptr())


def _compile(compiler: str, sources: list[Path], library: Path) -> None:
    library.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        made = Path(folder) / library.name
        command = [*compiler.split(), *FLAGS, *map(str, sources), "-o", str(made), "-lm"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise NoKernels(f"{compiler} could not be started: {error}") from None
        if done.returncode:
            raise NoKernels(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        made.replace(library)  # whole or not at all: another process may be at the same


def _cache_dir() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "attnlab" / "kernels"


def _machine() -> bytes:
    """What -march=native may depend on: a home directory can be shared by unlike machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor().encode()
    told = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return "\n".join(sorted(told)).encode()
