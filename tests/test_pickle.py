"""Layers and cells pickle as the call that makes them, copy to themselves, and go to processes."""

import copy
import pathlib
import pickle
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rows import CELLS_AND_MORE, OWN
from spawned import init, start, step

import jaxnn

INITIALIZERS = jax.nn.initializers
LAYERS: list[Any] = [
    jaxnn.dense(3, 4, bias="shared"),
    jaxnn.dense(3, 4, bias=False),
    jaxnn.dense(3, 4, kernel_init=INITIALIZERS.he_normal(), bias_init=INITIALIZERS.constant(0.5)),
    jaxnn.mlp((3, 4, 2), jax.nn.silu, jax.nn.softmax),
    jaxnn.embedding(5, 3, INITIALIZERS.normal(0.1)),
    jaxnn.layer_norm(3),
    jaxnn.group_norm(4, 2, 3),
    jaxnn.dropout(0.5),
    jaxnn.activation(jax.nn.relu),
    jaxnn.conv(3, 4, (3, 3), 2, "same"),
    jaxnn.conv_transpose(3, 4, (3,), dtype="bfloat16"),
    jaxnn.max_pool((2,)),
    jaxnn.average_pool((2, 2), 1),
    jaxnn.global_average_pool(2),
    jaxnn.flatten(2),
    jaxnn.reshape(1, (2, -1)),
    jaxnn.along(-2, jaxnn.final_state(jaxnn.bidirectional(jaxnn.gru(3, 3), merge="sum"))),
    jaxnn.along_time(jaxnn.conv(3, 4, (3,), padding="causal")),
    jaxnn.pool_over_time("mean"),
    jaxnn.serial(jaxnn.as_layer(jaxnn.gru(3, 3), reverse=True), jaxnn.dense(3, 2)),
    jaxnn.parallel(jaxnn.dense(3, 4), jaxnn.dense(3, 4), merge="sum", names=("merge", "b")),
    jaxnn.residual(jaxnn.dense(3, 3)),
    jaxnn.solve(jaxnn.lstm(3, 4), "unit", sweeps=9),
    jaxnn.bidirectional(jaxnn.lstm(3, 4), jaxnn.gru(3, 4)),
    jaxnn.elman(3, 4, jaxnn.activations.clip(0, 6)),
    jaxnn.lstm(3, 4, recurrent_init=INITIALIZERS.orthogonal(), param_dtype="float64"),
]
CELLS = [make(jnp.float32) for row, make in CELLS_AND_MORE.items() if row not in OWN]


@pytest.mark.parametrize("model", [*LAYERS, *CELLS], ids=repr)
def test_it_is_itself_again(model: Any) -> None:
    assert pickle.loads(pickle.dumps(model)) is model
    assert copy.deepcopy(model) is model and copy.copy(model) is model
    assert copy.deepcopy({"model": [model]})["model"][0] is model


def test_a_cell_of_ones_own_pickles_if_its_functions_do() -> None:
    cell = jaxnn.learned_initial_state(jaxnn.cell(init, step, start))
    assert pickle.loads(pickle.dumps(cell)) is cell
    local = jaxnn.cell(init, lambda params, state, x: step(params, state, x), start)
    assert copy.deepcopy(local) is local
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(local)


def test_a_spawned_process_has_the_same_model() -> None:
    program = pathlib.Path(__file__).with_name("spawned.py")
    run = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=300, check=False
    )
    assert run.stdout == "the same in both\n", run.stderr
