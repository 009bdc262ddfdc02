from attnlab.heads.base import Head
from attnlab.heads.direct import Direct
from attnlab.heads.pointer import Pointer
from attnlab.heads.seq2seq import Seq2Seq

__all__ = ["Direct", "Head", "Pointer", "Seq2Seq"]
