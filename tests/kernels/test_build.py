from __future__ import annotations

from pathlib import Path

import pytest
import torch

from attnlab import kernels
from attnlab.attention.scorers import Additive
from attnlab.kernels import build


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and nothing that is remembered from before or afterwards."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    build.kernels.cache_clear()
    build.available.cache_clear()
    yield tmp_path / "attnlab" / "kernels"
    build.kernels.cache_clear()
    build.available.cache_clear()


def test_they_are_compiled_once_and_kept(fresh: Path) -> None:
    kernels.kernels()
    (library,) = fresh.iterdir()
    made = library.stat().st_mtime_ns
    build.kernels.cache_clear()
    kernels.kernels()
    assert [path.stat().st_mtime_ns for path in fresh.iterdir()] == [made]


def test_without_a_compiler_the_plain_form_does_the_same(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Additive(5, 7, hidden_dim=11)
    queries, keys = torch.randn(2, 1, 3, 5), torch.randn(2, 1, 13, 7)
    compiled = scorer(queries, scorer.project(keys))
    build.kernels.cache_clear()
    build.available.cache_clear()
    monkeypatch.setenv("PATH", str(fresh))
    monkeypatch.delenv("CC", raising=False)
    assert not kernels.available()
    with pytest.raises(kernels.NoKernels, match="no C compiler was found"):
        kernels.kernels()
    torch.testing.assert_close(scorer(queries, scorer.project(keys)), compiled)


@pytest.mark.parametrize(("compiler", "reason"), [("/no/such/cc", "could not be started"), ("false", "false .*failed")])
def test_a_compiler_that_fails_is_named_and_leaves_nothing_behind(
    fresh: Path, monkeypatch: pytest.MonkeyPatch, compiler: str, reason: str
) -> None:
    monkeypatch.setenv("CC", compiler)
    with pytest.raises(kernels.NoKernels, match=reason):
        kernels.kernels()
    assert list(fresh.iterdir()) == []


@pytest.mark.parametrize("num_threads", [1, 2, 3, 5])
def test_the_parts_of_a_call_cover_everything_once(num_threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: num_threads)
    done: list[int] = []
    for count in (0, 1, 2, 7):
        done.clear()
        build.parallel(lambda first, last, word: done.extend(range(first, last)), count, 10**9, "an argument")
        assert sorted(done) == list(range(count))


def test_a_little_work_stays_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    parts: list[tuple[int, int]] = []
    build.parallel(lambda *part: parts.append(part), 100, 1000)
    assert parts == [(0, 100)]
