from attnlab.encoders.base import Encoded, Encoder
from attnlab.encoders.history import HistoryRNN
from attnlab.encoders.recurrent import GRU, LSTM, RNN
from attnlab.encoders.transformer import Transformer

__all__ = ["GRU", "LSTM", "RNN", "Encoded", "Encoder", "HistoryRNN", "Transformer"]
