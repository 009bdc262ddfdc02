from attnlab.data.adding import Adding
from attnlab.data.automata import Duplicate, Dyck, ModularArithmetic, ModularSum, OddsFirst, ReverseString
from attnlab.data.babi import BAbI
from attnlab.data.base import DataModule
from attnlab.data.dates import Dates
from attnlab.data.forecasting import Forecasting
from attnlab.data.listops import ListOps
from attnlab.data.memory import MQAR, Copy, DistanceRecall, Induction, Recall, SelectiveCopy, TrackingRecall
from attnlab.data.pairs import Pairs
from attnlab.data.pointer import TSP, ConvexHull, Delaunay
from attnlab.data.sort_points import SortPoints
from attnlab.data.toy import Reverse, Sort

__all__ = [
    "MQAR",
    "TSP",
    "Adding",
    "BAbI",
    "ConvexHull",
    "Copy",
    "DataModule",
    "Dates",
    "Delaunay",
    "DistanceRecall",
    "Duplicate",
    "Dyck",
    "Forecasting",
    "Induction",
    "ListOps",
    "ModularArithmetic",
    "ModularSum",
    "OddsFirst",
    "Pairs",
    "Recall",
    "Reverse",
    "ReverseString",
    "SelectiveCopy",
    "Sort",
    "SortPoints",
    "TrackingRecall",
]
