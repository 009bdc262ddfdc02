from __future__ import annotations

import numpy as np
import pytest
import torch

from attnlab.batch import Batch
from attnlab.data import linear
from attnlab.data.forecasting import Windows
from attnlab.data.linear import PENALTIES, LinearBaseline

LOOKBACK, HORIZON, CHANNELS, TARGETS = 5, 3, 4, 2
NUM_TRAIN, NUM_ROWS = 90, 140


def table(gaps: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Inputs that follow each other, and targets that are some of them with gaps."""
    random = np.random.default_rng(7)
    inputs = random.normal(size=(NUM_ROWS, CHANNELS)).cumsum(0).astype(np.float32)
    inputs = (inputs - inputs[:NUM_TRAIN].mean(0)) / inputs[:NUM_TRAIN].std(0)
    targets = inputs[:, :TARGETS].copy()
    targets[:, 0][random.random(NUM_ROWS) < gaps] = np.nan
    return inputs, targets


def windows(inputs: np.ndarray, targets: np.ndarray, first: int, end: int) -> Windows:
    return Windows(torch.from_numpy(inputs), torch.from_numpy(targets), first, end, LOOKBACK, HORIZON)


def parts(inputs: np.ndarray, targets: np.ndarray) -> tuple[Windows, Windows]:
    return windows(inputs, targets, LOOKBACK, NUM_TRAIN), windows(inputs, targets, NUM_TRAIN, NUM_ROWS)


def fitted(inputs: np.ndarray, targets: np.ndarray, max_lags: int = LOOKBACK) -> LinearBaseline:
    train, val = parts(inputs, targets)
    return LinearBaseline.fit(train, val, max_lags=max_lags, num_targets=TARGETS)


def explicit(inputs: np.ndarray, targets: np.ndarray, first: int, end: int, lags: int) -> tuple[np.ndarray, ...]:
    """Flattened windows, the last values before their origins, and what follows."""
    features, last, future = [], [], []
    for origin in range(first, end - HORIZON + 1):
        features.append([*inputs[origin - lags : origin].ravel().astype(float), 1.0])
        last.append(inputs[origin - 1, :TARGETS].astype(float))
        future.append(targets[origin : origin + HORIZON].astype(float))
    return np.array(features), np.array(last), np.array(future)


def ridge_by_least_squares(
    inputs: np.ndarray, targets: np.ndarray, *, lags: int = LOOKBACK, penalties: tuple[float, ...] = PENALTIES
) -> np.ndarray:
    """Predictions for validation, from one small regression per variable and step: the penalty stands as extra rows."""
    features, last, future = explicit(inputs, targets, LOOKBACK, NUM_TRAIN, lags)
    val_features, val_last, val_future = explicit(inputs, targets, NUM_TRAIN, NUM_ROWS, lags)
    width = features.shape[1]
    candidates = []
    for penalty in penalties:
        answer = np.zeros_like(val_future)
        for variable in range(TARGETS):
            whole = ~np.isnan(future[:, :, variable]).any(1)
            for step in range(HORIZON):
                rows = np.concatenate([features[whole], np.sqrt(penalty) * np.eye(width)])
                change = future[whole, step, variable] - last[whole, variable]
                weights = np.linalg.lstsq(rows, np.concatenate([change, np.zeros(width)]), rcond=None)[0]
                answer[:, step, variable] = val_last[:, variable] + val_features @ weights
        candidates.append((np.nansum(np.abs(answer - val_future)), answer))
    return min(candidates, key=lambda candidate: candidate[0])[1]


def predictions(baseline: LinearBaseline, source: Windows) -> np.ndarray:
    return baseline(source[np.arange(len(source))]).numpy()


@pytest.mark.parametrize("gaps", [0.0, 0.1])
def test_the_baseline_is_the_ridge_regression_of_numpy(gaps: float) -> None:
    inputs, targets = table(gaps)
    assert np.isnan(targets).any() == (gaps > 0)
    answer = predictions(fitted(inputs, targets), parts(inputs, targets)[1])
    np.testing.assert_allclose(answer, ridge_by_least_squares(inputs, targets), atol=2e-5)


def test_windows_with_a_gap_are_left_out_for_that_variable_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (1.0,))
    inputs, targets = table(gaps=0.1)
    whole = table(gaps=0.0)[1]
    with_gaps, without = fitted(inputs, targets), fitted(inputs, whole)
    torch.testing.assert_close(with_gaps.weights[..., 1], without.weights[..., 1])
    assert (with_gaps.weights[..., 0] - without.weights[..., 0]).abs().max() > 1e-2


@pytest.mark.parametrize("penalty", [1.0, 1e2, 1e5])
def test_each_penalty_agrees_with_numpy(monkeypatch: pytest.MonkeyPatch, penalty: float) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (penalty,))
    inputs, targets = table()
    answer = predictions(fitted(inputs, targets), parts(inputs, targets)[1])
    expected = ridge_by_least_squares(inputs, targets, penalties=(penalty,))
    np.testing.assert_allclose(answer, expected, atol=2e-4)


def test_the_penalty_is_the_one_with_the_least_validation_error(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = table()
    train, val = parts(inputs, targets)
    batch = val[np.arange(len(val))]

    def error(baseline: LinearBaseline) -> float:
        return float(((baseline(batch) - batch.targets).abs() * batch.target_mask).sum())

    chosen = error(fitted(inputs, targets))
    alone = []
    for penalty in PENALTIES:
        monkeypatch.setattr(linear, "PENALTIES", (penalty,))
        alone.append(error(LinearBaseline.fit(train, val, max_lags=LOOKBACK, num_targets=TARGETS)))
    assert len(set(alone)) == 3
    assert chosen == min(alone)


def test_a_crushing_penalty_means_no_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (1e12,))
    inputs, targets = table()
    _, val = parts(inputs, targets)
    batch = val[np.arange(len(val))]
    last = batch.inputs[:, -1:, :TARGETS].expand(-1, HORIZON, -1)
    torch.testing.assert_close(fitted(inputs, targets)(batch), last, atol=1e-6, rtol=0)


def test_a_window_too_wide_to_solve_keeps_its_most_recent_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "MAX_FEATURES", 2 * CHANNELS + 3)
    inputs, targets = table()
    baseline = fitted(inputs, targets)
    assert baseline.lags == 2
    answer = predictions(baseline, parts(inputs, targets)[1])
    np.testing.assert_allclose(answer, ridge_by_least_squares(inputs, targets, lags=2), atol=2e-5)


def test_the_fit_does_not_depend_on_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = table()
    in_one = fitted(inputs, targets)
    monkeypatch.setattr(linear, "FIT_BATCH", 7)
    torch.testing.assert_close(fitted(inputs, targets).weights, in_one.weights, atol=1e-6, rtol=1e-4)


def test_a_linear_world_is_forecast_without_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "PENALTIES", (1e-6,))
    time = np.arange(NUM_ROWS)[:, None]
    inputs = np.concatenate([np.sin(time / 3), np.cos(time / 5), np.sin(time), np.cos(time)], axis=1)
    inputs = inputs.astype(np.float32)
    targets = inputs[:, :TARGETS].copy()
    _, val = parts(inputs, targets)
    batch: Batch = val[np.arange(len(val))]
    torch.testing.assert_close(fitted(inputs, targets)(batch), batch.targets, atol=1e-3, rtol=0)
