"""Wrong calls of the training: its state, its step, the loss, and the loop around them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import wrong_values as wrong
from refusals import add, refuse
from wrong_values import KEY, Foreign, Pool, ones

import jaxnn

OPTIMIZER = optax.sgd(0.1)
PARAMS = {"kernel": ones(3)}
OPTIMIZERS: Pool = {
    "None": None,
    "a name": "sgd",
    "a number": 0.1,
    "the function that makes one": optax.sgd,
    "a tuple": (OPTIMIZER.init, OPTIMIZER.update),
    "its update": OPTIMIZER.update,
    "a list": [OPTIMIZER],
    "params": PARAMS,
}
LEAVES: Pool = {
    "text": "params",
    "a leaf of text": {"kernel": ones(2), "name": "mine"},
    "objects": np.full(2, None, object),
    "a foreign array": {"kernel": Foreign(ones(2))},
    "a function": abs,
    "the layer itself": jaxnn.dense(2, 3),
    "a set": {1.0},
}
NAMED = ("params", "kernel", "name", "init")
refuse(
    "train_state",
    lambda: jaxnn.training.train_state,
    {"params": PARAMS, "optimizer": OPTIMIZER, "key": KEY},
    params={**LEAVES, "None": None},
    optimizer=OPTIMIZERS,
    key=wrong.KEYS_FOR_INIT,
    state=LEAVES,
    words={"params": NAMED},
)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """The sum of squares."""
    del key
    return jnp.sum((params["kernel"] - batch) ** 2), jnp.ones((), jnp.float32), state


AXES: Pool = {
    "a name": "first",
    "a flag": True,
    "a float": 1.0,
    "negative": -1,
    "an array": ones(2),
}
refuse(
    "train_step",
    lambda: jaxnn.training.train_step,
    {"loss": loss, "optimizer": OPTIMIZER},
    loss=wrong.FUNCTIONS,
    optimizer=OPTIMIZERS,
    mesh={
        "a number": 8,
        "text": "cpu",
        "devices": [None],
        "a tuple": ("batch",),
        "a flag": True,
        "an array": np.array([None]),
        "a function": jax.devices,
    },
    batch_axis=AXES,
)


def first(state: Any = ()) -> Any:
    return jaxnn.training.train_state(PARAMS, OPTIMIZER, KEY, state)


def step_of(given: Callable[..., Any] = loss) -> Any:
    return jaxnn.training.train_step(given, OPTIMIZER)


def step_arguments() -> dict[str, Any]:
    return {"train_state": first(), "batch": ones(3)}


STATES: Pool = {
    "None": None,
    "text": "state",
    "a number": 3,
    "params": PARAMS,
    "a function": abs,
    "a list": [PARAMS],
}


def broken(right: Any) -> Pool:
    """No TrainState, or one with something wrong in it."""
    return {
        **STATES,
        "a tuple": tuple(right),
        "no key": right._replace(key=None),
        "no step": right._replace(step=None),
        "text in params": right._replace(params={"kernel": "k"}),
    }


BATCHES: Pool = {
    "text": "abc",
    "a leaf of text": (ones(3), "name"),
    "objects": np.full(3, None, object),
    "texts": np.array(["a"]),
    "a foreign array": Foreign(ones(3)),
    "a function": abs,
    "a set": {1.0},
    "an iterator": iter(()),
}
refuse(
    "train_step(...)",
    step_of,
    step_arguments,
    "train_step",
    {"train_state": ("train_state", "params", "key", "step"), "batch": "batch"},
    train_state=broken,
    batch=BATCHES,
)


def mesh_step(batch_axis: Any) -> Any:
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("batch",))
    step = jaxnn.training.train_step(loss, OPTIMIZER, mesh, batch_axis)
    return step(first(), ones(3, 2))


axes_ = {**AXES, "None": None, "beyond": 2, "two": (0, 1), "a dict": {"x": 0}}
add(
    "train_step(...) on a mesh-batch_axis",
    "train_step",
    "batch_axis",
    {what: functools.partial(mesh_step, axis) for what, axis in axes_.items()},
)


def integers() -> Any:
    return step_of()(
        jaxnn.training.train_state({"kernel": ones(3, dtype=np.int32)}, OPTIMIZER, KEY), ones(3)
    )


names_ = ("train_state", "train_step")
add("train_step(...)-params", names_, "params", {"integers": integers})
arity_: dict[str, Any] = {
    "of three arguments": lambda params, state, batch: 0.0,
    "of five": lambda params, state, batch, key, more: 0.0,
    "of none": lambda: 0.0,
}
calls_ = {what: lambda f=f: step_of(f)(first(), ones(3)) for what, f in arity_.items()}
add("train_step(...)-loss of other arguments", "train_step", "loss", calls_)


# What the loss gives ------------------------------------------------------------------------------

ONE = functools.partial(jnp.ones, (), jnp.float32)
LOSSES: dict[str, Callable[..., Any]] = {
    "None": lambda p: None,
    "the sum alone": lambda p: jnp.sum(p["kernel"]),
    "sum and weight": lambda p: (jnp.sum(p["kernel"]), ONE()),
    "a list": lambda p: [jnp.sum(p["kernel"]), ONE(), ()],
    "five": lambda p: (jnp.sum(p["kernel"]), ONE(), (), (), ()),
    "each sample's loss": lambda p: (p["kernel"], ONE(), ()),
    "each sample's weight": lambda p: (jnp.sum(p["kernel"]), p["kernel"], ()),
    "an integer sum": lambda p: (jnp.ones((), jnp.int32), ONE(), ()),
    "a sum of text": lambda p: ("sum", ONE(), ()),
    "a sum of None": lambda p: (None, ONE(), ()),
    "a weight of None": lambda p: (jnp.sum(p["kernel"]), None, ()),
    "a weight of text": lambda p: (jnp.sum(p["kernel"]), "weight", ()),
    "a complex sum": lambda p: (jnp.sum(p["kernel"]).astype(jnp.complex64), ONE(), ()),
    "a state of None": lambda p: (jnp.sum(p["kernel"]), ONE(), None),
    "a state of text": lambda p: (jnp.sum(p["kernel"]), ONE(), "state"),
    "a state where there was none": lambda p: (jnp.sum(p["kernel"]), ONE(), (ONE(),)),
}
CARRIED: dict[str, Callable[[Any], Any]] = {
    "nothing": lambda state: (),
    "another shape": lambda state: (state[0][:1],),
    "another dtype": lambda state: (state[0].astype(jnp.float16),),
    "a list": lambda state: [*state],
    "text": lambda state: ("state",),
}


def losing(result: Callable[..., Any]) -> Any:
    return step_of(lambda params, state, batch, key: result(params))(first(), ones(3))


def carrying(change: Callable[[Any], Any]) -> Any:
    def carry(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return jnp.sum(params["kernel"]), ONE(), change(state)

    return step_of(carry)(first((ones(2),)), ones(3))


add(
    "train_step(...)-loss gives",
    "train_step",
    "loss",
    {
        **{what: functools.partial(losing, result) for what, result in LOSSES.items()},
        **{f"carried {what}": functools.partial(carrying, c) for what, c in CARRIED.items()},
    },
)


# The loop -----------------------------------------------------------------------------------------


def fit_arguments() -> dict[str, Any]:
    return {
        "step": step_of(),
        "train_state": first(),
        "batches": [ones(3)],
        "progress": False,
    }


BATCH = jaxnn.data.Batch(*[ones(2, 2)] * 5)
refuse(
    "fit",
    lambda: jaxnn.training.fit,
    fit_arguments,
    step={
        **wrong.FUNCTIONS,
        "gives None": lambda train_state, batch: None,
        "gives a state alone": lambda train_state, batch: train_state,
        "gives no metrics": lambda train_state, batch: (train_state, 0.5),
        "gives text": lambda train_state, batch: "state",
        "gives a list": lambda train_state, batch: [train_state, None],
        "of one argument": lambda train_state: train_state,
        "the loss": loss,
        "the optimizer": OPTIMIZER,
    },
    train_state=lambda right: {
        **STATES,
        "a tuple": tuple(right),
        "a Fit": jaxnn.training.Fit(right, jaxnn.training.History([], [], []), "done"),
    },
    batches={
        "None": None,
        "a number": 3,
        "a function": abs,
        "a function that gives them": lambda: iter([ones(3)]),
        "text": "abc",
        "nothing": [],
        "a Batch": BATCH,
        "an iterator at its end": iter(()),
    },
    steps=wrong.omit(wrong.SIZES, "None"),
    evaluate=wrong.omit(wrong.FUNCTIONS, "None") | {"of no argument": lambda: 0.0},
    evaluate_every=wrong.SIZES,
    progress=wrong.omit(wrong.FLAGS, "None"),
    on_step=wrong.omit(wrong.FUNCTIONS, "None") | {"of one argument": lambda n: None},
    checkpoint={
        "a path": "folder",
        "a number": 3,
        "a flag": True,
        "a tuple": ("folder", 1, 1, False),
        "the type": jaxnn.training.CheckpointOptions,
        "a function": abs,
    },
)
FOLDERS: Pool = {
    "None": None,
    "a number": 3,
    "bytes": b"folder",
    "nothing": "",
    "a URL": "gs://bucket/folder",
    "a zero byte": "a\0b",
    "a list": ["folder"],
}


def kept(**options: Any) -> Any:
    checkpoint = jaxnn.training.CheckpointOptions(**{"folder": "/nowhere", **options})
    return jaxnn.training.fit(**fit_arguments(), checkpoint=checkpoint)


refuse(
    "CheckpointOptions",
    lambda: kept,
    {},
    "fit",
    dict.fromkeys(("folder", "every", "keep", "replay"), ("checkpoint", "checkpoints")),
    folder=FOLDERS,
    every=wrong.SIZES,
    keep=wrong.SIZES,
    replay=wrong.FLAGS,
)
refuse(
    "load_checkpoint",
    lambda: jaxnn.training.load_checkpoint,
    lambda: {"folder": "/nowhere", "train_state": first()},
    words={"folder": "folder"},
    folder=FOLDERS,
    train_state=STATES,
)
