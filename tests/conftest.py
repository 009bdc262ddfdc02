"""One thread per process, the same numbers every time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from attnlab.runs.record import RunRecord

if TYPE_CHECKING:
    from attnlab.matrix import Combination

torch.set_num_threads(1)

REPOSITORY = Path(__file__).parents[1]


class TensorSizes(TorchDispatchMode):
    """Elements of the tensors that operations return while it is entered."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0
        self._seen: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self.largest = max(self.largest, tensor.numel())
                storage = tensor.untyped_storage()
                size = storage.nbytes() // tensor.element_size()
                self._seen[storage._cdata] = (StorageWeakRef(storage), size)
        return result

    def largest_alive(self) -> int:
        """Of those that are still held, by the graph or by somebody."""
        return max((size for storage, size in self._seen.values() if not storage.expired()), default=0)


@pytest.fixture(autouse=True)
def _same_numbers() -> None:
    torch.manual_seed(0)


@pytest.fixture
def make_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the record of a finished run into runs/, as training would have left it."""
    monkeypatch.setattr("attnlab.runs.record._git", lambda: None)  # two processes for each of many records

    def make(
        summary: Mapping[str, Any],
        *,
        seed: int = 1,
        config: str = "",
        meta: Mapping[str, Any] | None = None,
        **choices: str,
    ) -> Path:
        name = "_".join([*choices.values(), f"s{seed}", str(len(list((tmp_path / "runs").glob("*"))))])
        begun = RunRecord.create(tmp_path / "runs" / name, config_yaml=config, overrides=[], choices=choices, seed=seed)
        begun.update(**(meta or {}))
        begun.finish(summary)
        return begun.path

    return make


@pytest.fixture(scope="session")
def cells() -> list[Combination]:
    """The table of combinations. Composing all options takes a while: it is done once per process."""
    from attnlab.matrix import combinations

    return list(combinations())


@pytest.fixture
def tensor_sizes() -> TensorSizes:
    return TensorSizes()


@pytest.fixture
def shared() -> Path:
    """Real data that lie beside the repository on some machines only."""
    folder = Path(os.environ.get("ATTNLAB_SHARED", REPOSITORY.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here: ATTNLAB_SHARED names it")
    return folder


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--pictures", action="store_true", help="make the screenshots in docs/pictures anew")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not torch.cuda.is_available():
        for item in items:
            if "gpu" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a GPU"))
