from attnlab.data.base import DataModule
from attnlab.data.forecasting import Forecasting
from attnlab.data.pointer import TSP
from attnlab.data.toy import Reverse

__all__ = ["TSP", "DataModule", "Forecasting", "Reverse"]
