"""Recurrent networks as pure functions on JAX: one contract for every cell."""

from jaxnn import (
    activations as activations,
    data as data,
    diagnostics as diagnostics,
    export as export,
    initializers as initializers,
    losses as losses,
    regularizers as regularizers,
    sampling as sampling,
    training as training,
)
from jaxnn.cells.causal_conv import (
    CausalConvParams as CausalConvParams,
    CausalConvState as CausalConvState,
    causal_conv as causal_conv,
)
from jaxnn.cells.conv_gru import ConvGRUParams as ConvGRUParams, conv_gru as conv_gru
from jaxnn.cells.conv_lstm import ConvLSTMParams as ConvLSTMParams, conv_lstm as conv_lstm
from jaxnn.cells.ct_rnn import (
    CTRNNParams as CTRNNParams,
    CTRNNState as CTRNNState,
    ct_rnn as ct_rnn,
)
from jaxnn.cells.elman import (
    GATES as ELMAN_GATES,
    ElmanGates as ElmanGates,
    ElmanParams as ElmanParams,
    ElmanState as ElmanState,
    elman as elman,
)
from jaxnn.cells.griffin import rg_lru_block as rg_lru_block
from jaxnn.cells.gru import (
    GATES as GRU_GATES,
    GRUGates as GRUGates,
    GRUNorm as GRUNorm,
    GRUParams as GRUParams,
    GRUState as GRUState,
    gru as gru,
)
from jaxnn.cells.gru_d import (
    GATES as GRU_D_GATES,
    GRUDInput as GRUDInput,
    GRUDParams as GRUDParams,
    GRUDState as GRUDState,
    gru_d as gru_d,
)
from jaxnn.cells.indrnn import (
    IndRNNParams as IndRNNParams,
    IndRNNState as IndRNNState,
    indrnn as indrnn,
)
from jaxnn.cells.janet import (
    GATES as JANET_GATES,
    JANETGates as JANETGates,
    JANETParams as JANETParams,
    JANETState as JANETState,
    janet as janet,
)
from jaxnn.cells.lif import LIFParams as LIFParams, LIFState as LIFState, lif as lif
from jaxnn.cells.lru import LRUParams as LRUParams, LRUState as LRUState, lru as lru
from jaxnn.cells.lstm import (
    COUPLED_GATES as COUPLED_LSTM_GATES,
    GATES as LSTM_GATES,
    LSTMGates as LSTMGates,
    LSTMNorm as LSTMNorm,
    LSTMParams as LSTMParams,
    LSTMState as LSTMState,
    lstm as lstm,
)
from jaxnn.cells.ltc import LTCParams as LTCParams, LTCState as LTCState, ltc as ltc
from jaxnn.cells.mamba import mamba_block as mamba_block
from jaxnn.cells.mgu import (
    GATES as MGU_GATES,
    MGUGates as MGUGates,
    MGUParams as MGUParams,
    MGUState as MGUState,
    mgu as mgu,
)
from jaxnn.cells.min_gru import (
    GATES as MIN_GRU_GATES,
    LSTM_GATES as MIN_LSTM_GATES,
    MinGRUGates as MinGRUGates,
    MinGRUParams as MinGRUParams,
    MinGRUState as MinGRUState,
    MinLSTMGates as MinLSTMGates,
    min_gru as min_gru,
    min_lstm as min_lstm,
)
from jaxnn.cells.mlstm import (
    MLSTMParams as MLSTMParams,
    MLSTMState as MLSTMState,
    mlstm as mlstm,
)
from jaxnn.cells.qrnn import (
    QRNNParams as QRNNParams,
    QRNNState as QRNNState,
    qrnn as qrnn,
    sru as sru,
)
from jaxnn.cells.rg_lru import (
    RGLRUParams as RGLRUParams,
    RGLRUState as RGLRUState,
    rg_lru as rg_lru,
)
from jaxnn.cells.s5 import S5Params as S5Params, S5State as S5State, s5 as s5
from jaxnn.cells.s6 import S6Params as S6Params, S6State as S6State, s6 as s6
from jaxnn.cells.slstm import (
    GATES as SLSTM_GATES,
    SLSTMGates as SLSTMGates,
    SLSTMParams as SLSTMParams,
    SLSTMState as SLSTMState,
    slstm as slstm,
)
from jaxnn.decoding.beams import Beams as Beams, beam_search as beam_search
from jaxnn.decoding.decode import Decoded as Decoded, decode as decode
from jaxnn.diagnostics.explanation import Explanation as Explanation, explain as explain
from jaxnn.diagnostics.gate_values import gates as gates
from jaxnn.diagnostics.memory import Memory as Memory, memory as memory
from jaxnn.functions.pair import Pair as Pair
from jaxnn.functions.params import (
    describe as describe,
    hidden_partition_specs as hidden_partition_specs,
)
from jaxnn.functions.sequences import (
    lengths_to_mask as lengths_to_mask,
    masked_last as masked_last,
    masked_max as masked_max,
    masked_mean as masked_mean,
    time_major as time_major,
)
from jaxnn.internal.parts import Parts as Parts, parts as parts
from jaxnn.layers.along import along as along
from jaxnn.layers.along_time import along_time as along_time
from jaxnn.layers.composition import parallel as parallel, serial as serial
from jaxnn.layers.conv import (
    ConvParams as ConvParams,
    conv as conv,
    conv_transpose as conv_transpose,
)
from jaxnn.layers.dense import DenseParams as DenseParams, dense as dense, mlp as mlp
from jaxnn.layers.dropout import activation as activation, dropout as dropout
from jaxnn.layers.embedding import EmbeddingParams as EmbeddingParams, embedding as embedding
from jaxnn.layers.flatten import (
    flatten as flatten,
    global_average_pool as global_average_pool,
    reshape as reshape,
)
from jaxnn.layers.norm import (
    NormParams as NormParams,
    group_norm as group_norm,
    layer_norm as layer_norm,
)
from jaxnn.layers.pool import average_pool as average_pool, max_pool as max_pool
from jaxnn.layers.pool_over_time import pool_over_time as pool_over_time
from jaxnn.online.learner import Online as Online, online as online
from jaxnn.recurrence.cell import (
    cell as cell,
    linear_cell as linear_cell,
    split_cell as split_cell,
)
from jaxnn.scans.linear_recurrence import linear_recurrence as linear_recurrence
from jaxnn.transforms.bidirectional import (
    BidirectionalParams as BidirectionalParams,
    as_layer as as_layer,
    bidirectional as bidirectional,
)
from jaxnn.transforms.final_state import final_state as final_state
from jaxnn.transforms.gated_by import GatedByParams as GatedByParams, gated_by as gated_by
from jaxnn.transforms.initial_state import (
    LearnedInitialStateParams as LearnedInitialStateParams,
    learned_initial_state as learned_initial_state,
    reset_state as reset_state,
)
from jaxnn.transforms.locked_dropout import locked_dropout as locked_dropout
from jaxnn.transforms.output_state import output_state as output_state
from jaxnn.transforms.remat import remat as remat
from jaxnn.transforms.residual import residual as residual
from jaxnn.transforms.shard_time import shard_time as shard_time
from jaxnn.transforms.solve import (
    Solution as Solution,
    solution as solution,
    solve as solve,
)
from jaxnn.transforms.stack import stack as stack
from jaxnn.transforms.with_method import with_method as with_method
from jaxnn.types import Cell as Cell, Layer as Layer, SequenceLayer as SequenceLayer

__version__ = "0.1.0"
