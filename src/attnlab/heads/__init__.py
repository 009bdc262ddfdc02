from attnlab.heads.base import Head
from attnlab.heads.direct import Direct
from attnlab.heads.per_step import PerStep
from attnlab.heads.per_variable import PerVariable
from attnlab.heads.pointer import Pointer
from attnlab.heads.pool import Pool
from attnlab.heads.seq2seq import Seq2Seq

__all__ = ["Direct", "Head", "PerStep", "PerVariable", "Pointer", "Pool", "Seq2Seq"]
