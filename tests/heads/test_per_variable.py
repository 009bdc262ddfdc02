from __future__ import annotations

from functools import partial

import pytest
import torch

from attnlab.compose import build_model
from attnlab.encoders import LSTM, Encoded
from attnlab.errors import IncompatibleError
from attnlab.heads import PerVariable
from attnlab.spec import DataSpec, Forecast, Series

# Batch 2, variables 5, width 6, horizon 3, two targets.
OUTPUT = Forecast(3, (4, 1))


def encoded() -> Encoded:
    return Encoded(torch.randn(2, 5, 6), torch.ones(2, 5, dtype=torch.bool), torch.randn(2, 6))


def test_each_forecast_is_one_linear_map_of_its_variables_state() -> None:
    head, found = PerVariable(OUTPUT, 6, loss="mse"), encoded()
    predictions = head.generate(found, torch.zeros(2, 7, 5))
    assert predictions.shape == (2, 3, 2)
    for row in range(2):
        for place, variable in enumerate((4, 1)):
            expected = head.projection.weight @ found.states[row, variable] + head.projection.bias
            torch.testing.assert_close(predictions[row, :, place], expected)


def test_a_missing_target_counts_in_no_loss() -> None:
    head, found = PerVariable(OUTPUT, 6, loss="mae"), encoded()
    batch = DataSpec(Series(5), OUTPUT, max_length=7).example(2)
    predictions = head(found, batch.inputs, batch.targets)
    mask = batch.target_mask.clone()
    mask[0, 1] = False
    spoilt = batch._replace(targets=batch.targets.masked_fill(~mask, torch.nan), target_mask=mask)
    errors = (predictions - batch.targets).abs()[mask]
    torch.testing.assert_close(head.loss(predictions, spoilt), errors.mean())


def test_states_that_belong_to_no_variable_are_refused_with_the_encoder_to_choose() -> None:
    lstm = partial(LSTM, hidden_dim=6, num_layers=1, bidirectional=False, dropout=0.0)
    with pytest.raises(IncompatibleError, match="choose encoder=inverted_transformer"):
        build_model(
            DataSpec(Series(5), OUTPUT, max_length=7), dim=6, encoder=lstm, head=partial(PerVariable, loss="mae")
        )
