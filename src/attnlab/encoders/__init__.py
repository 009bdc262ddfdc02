from attnlab.encoders.base import Encoded, Encoder
from attnlab.encoders.entity_network import EntityNetwork
from attnlab.encoders.feedforward import FeedforwardAttention
from attnlab.encoders.hierarchical import Hierarchical
from attnlab.encoders.history import HistoryRNN
from attnlab.encoders.inverted_transformer import InvertedTransformer
from attnlab.encoders.linear_attention import LinearAttention
from attnlab.encoders.lstmn import LSTMN
from attnlab.encoders.min_gru import MinGRU
from attnlab.encoders.read_process_write import ReadProcessWrite
from attnlab.encoders.recurrent import GRU, LSTM, RNN
from attnlab.encoders.stacked import StackedAttentive
from attnlab.encoders.tcn import TCN
from attnlab.encoders.transformer import Transformer

__all__ = [
    "GRU",
    "LSTM",
    "LSTMN",
    "RNN",
    "TCN",
    "Encoded",
    "Encoder",
    "EntityNetwork",
    "FeedforwardAttention",
    "Hierarchical",
    "HistoryRNN",
    "InvertedTransformer",
    "LinearAttention",
    "MinGRU",
    "ReadProcessWrite",
    "StackedAttentive",
    "Transformer",
]
