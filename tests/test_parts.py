"""`parts` tells exactly what made a model, and printing, pickling and `explain` agree with it."""

import inspect
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from rows import CELLS_AND_MORE
from test_pickle import LAYERS

import jaxnn
from jaxnn.internal.parts import MODELS

KEY = jax.random.key(0)
CELLS = [make(jnp.float32) for make in CELLS_AND_MORE.values()]


@pytest.mark.parametrize("model", [*LAYERS, *CELLS], ids=repr)
def test_they_make_the_model_again(model: Any) -> None:
    tree = jaxnn.parts(model)
    assert tree.make() is model
    assert str(tree) == repr(model)
    assert str(tree).startswith(f"{tree.kind}(")


@pytest.mark.parametrize("model", [*LAYERS, *CELLS], ids=repr)
def test_every_argument_of_the_factory_is_there(model: Any) -> None:
    """Each by its name: among the options, or among the parts if it is a model."""

    def check(tree: jaxnn.Parts) -> None:
        parameters = inspect.signature(tree.factory).parameters.items()
        many = [n for n, each in parameters if each.kind is inspect.Parameter.VAR_POSITIONAL]
        if many:
            places = tree.options["names"] or map(str, range(len(tree.parts)))
            assert list(tree.parts) == list(places) != []
        found = {*tree.options, *(many or tree.parts)}
        assert found == {name for name, _ in parameters}
        assert not any(isinstance(value, MODELS) for value in tree.options.values())
        for part in tree.parts.values():
            check(part)

    check(jaxnn.parts(model))


def test_options_are_those_that_were_given_and_the_defaults() -> None:
    tree = jaxnn.parts(jaxnn.lstm(12, 64, peephole=True, dtype="bfloat16"))
    assert tree.kind == "lstm" and tree.parts == {}
    assert tree.options["input_size"] == 12 and tree.options["hidden_size"] == 64
    assert tree.options["peephole"] is True and tree.options["coupled"] is False
    assert tree.options["dtype"] == jnp.bfloat16 and tree.options["param_dtype"] is None


def test_parts_of_any_number_stand_by_their_names() -> None:
    """Those too that are called as an option is."""
    model = jaxnn.stack(jaxnn.dense(3, 4), jaxnn.lstm(4, 2), names=("dropout", "encoder"))
    tree, params = jaxnn.parts(model), model.init(KEY)
    assert list(tree.parts) == list(params._fields) == ["dropout", "encoder"]
    assert tree.options["dropout"] == 0 and tree.parts["dropout"].kind == "dense"
    assert tree.make() is model


def test_parts_stand_where_their_params_stand() -> None:
    model = jaxnn.serial(jaxnn.bidirectional(jaxnn.lstm(3, 4), jaxnn.gru(3, 4)), jaxnn.dense(8, 2))
    tree, params = jaxnn.parts(model), model.init(KEY)
    assert list(tree.parts) == ["0", "1"]
    inner = tree.parts["0"]
    assert list(inner.parts) == list(params[0]._fields) == ["forward", "backward"]
    assert inner.parts["backward"].kind == "gru"
    assert tree.parts["1"].make() is jaxnn.dense(8, 2)


def test_a_tree_can_be_pickled_and_compared() -> None:
    init = jax.nn.initializers.he_normal()
    model = jaxnn.stack(jaxnn.lstm(3, 4, kernel_init=init), jaxnn.dense(4, 2), dropout=0.5)
    tree = jaxnn.parts(model)
    again = pickle.loads(pickle.dumps(tree))
    assert again == tree and again.make() is model
    assert tree.options == {"dropout": 0.5, "residual": False, "names": None}


def test_nothing_is_known_of_what_no_factory_made() -> None:
    """Another function in a field, and the rest of a known cell: its name does not fit."""
    cell = jaxnn.lstm(3, 4)
    other = cell._replace(apply=jaxnn.gru(3, 4).apply)
    assert repr(other) == "Cell" and repr(cell) == "lstm(3, 4)"
    tree = jaxnn.parts(other)
    assert tree.kind == "Cell" and tree.options["apply"] is other.apply
    assert tree.make() == other and tree.make() != cell
    assert jaxnn.parts(jaxnn.stack(other, jaxnn.dense(4, 2))).parts["0"].kind == "Cell"
    with pytest.raises(TypeError, match="gates: cell must be one of the library's gated cells"):
        jaxnn.gates(other, cell.init(KEY), cell.initial_state(cell.init(KEY)), jnp.ones(3))


@pytest.mark.parametrize("wrong", [None, 3, "lstm", jaxnn.lstm, (jaxnn.dense(2, 3),)])
def test_what_is_no_model_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="parts: model must be a Layer, a SequenceLayer or a Cell"):
        jaxnn.parts(wrong)
