"""The tasks of every JAX contestant: from a function of parameters to steps that are timed."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contestants.task import NotPossible, Task, timed
from benchmarks.workloads import Workload, check_output

RATE = 0.01
Apply = Callable[[Any, Any], Any]
Jitted = Any  # jax has no public name for what jax.jit gives


class Network(NamedTuple):
    """Parameters, and `ys = apply(params, xs)`; xs is (time, batch, features) if time_major."""

    params: Any
    apply: Apply
    time_major: bool = True


class Stream(NamedTuple):
    """Parameters, the first state at batch 1, and `state, y = apply(params, state, x)`."""

    params: Any
    state: Any
    apply: Callable[[Any, Any, Any], tuple[Any, Any]]


class Run(NamedTuple):
    """How a network is run.

    place: puts parameters and data on the devices, as copies; train_step and forward: jitted.
    """

    place: Callable[[Network, Any, Workload], tuple[Any, Any]]
    train_step: Callable[[Apply], Jitted]
    forward: Callable[[Apply], Jitted]


def mean_square(apply: Apply) -> Callable[[Any, Any], Any]:
    """The loss of every contestant."""
    return lambda params, xs: jnp.mean(jnp.square(apply(params, xs)))


def descend(params: Any, gradients: Any) -> Any:
    """Plain SGD."""
    return jax.tree.map(lambda param, gradient: param - RATE * gradient, params, gradients)


def train_step(apply: Apply) -> Jitted:
    """`params, loss = step(params, xs)` on one device."""

    def step(params: Any, xs: Any) -> tuple[Any, Any]:
        loss, gradients = jax.value_and_grad(mean_square(apply))(params, xs)
        return descend(params, gradients), loss

    return jax.jit(step, donate_argnums=0)


def place(network: Network, xs: Any, workload: Workload) -> tuple[Any, Any]:
    """Copies, since a train step donates what it is given."""
    return jax.tree.map(jnp.copy, network.params), jnp.asarray(xs)


ONE_DEVICE = Run(place, train_step, jax.jit)


def jax_task(
    workload: Workload,
    network: Callable[[Workload], Network],
    stream: Callable[[Workload], Stream],
    run: Run = ONE_DEVICE,
) -> Task:
    """The task of a contestant that gives a network, and a cell for the streaming step."""
    if workload.kind == "stream":
        return stream_task(stream(workload), workload)
    built = network(workload)
    if workload.members > 1:
        built = ensemble(built, workload.members)
    params, xs = run.place(built, data(workload, built.time_major), workload)
    match workload.kind:
        case "train":
            return train_task(workload, built, params, xs, run.train_step(built.apply))
        case "forward":
            return forward_task(workload, built, params, xs, run.forward(built.apply))
        case "compile":
            return compile_task(run.train_step(built.apply), params, xs)
        case "gradient compile":
            return compile_task(jax.jit(gradient(built.apply)), params, xs)
        case "gradient memory":
            return memory_task(jax.jit(gradient(built.apply)), params, xs)
    raise NotPossible(f"no contestant in JAX knows {workload.kind}")


def gradient(apply: Apply) -> Callable[..., Any]:
    return jax.value_and_grad(mean_square(apply))


def data(workload: Workload, time_major: bool = True) -> np.ndarray:
    """The same numbers for everybody, in the layout that the contestant takes."""
    shape = workload.time, workload.batch, workload.input
    xs = np.random.default_rng(0).standard_normal(shape, np.float32)
    return xs if time_major else np.ascontiguousarray(xs.swapaxes(0, 1))


def ensemble(network: Network, members: int) -> Network:
    """Copies of a network, by vmap, on the same data; XLA cannot know that they start equal."""
    params = jax.tree.map(lambda leaf: jnp.stack([leaf] * members), network.params)
    return network._replace(params=params, apply=jax.vmap(network.apply, (0, None)))


def train_task(workload: Workload, network: Network, params: Any, xs: Any, step: Any) -> Task:
    """Steps that go on from each other's parameters, each waited for.

    torch waits too; and with more than one CPU device, XLA's threads would lock each other out
    where many steps stand in the queue (jax 0.10.2: the process ends after 40 seconds).
    """
    loss: Any = None

    def steps(calls: int) -> None:
        nonlocal params, loss
        for _ in range(calls):
            params, loss = jax.block_until_ready(step(params, xs))

    def check() -> dict[str, Any]:
        outlines = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), (params, xs)
        )
        shape = jax.eval_shape(network.apply, *outlines).shape
        check_output(workload, shape, float(loss), network.time_major)
        return {"loss": float(loss), "parameters": parameters(params)}

    return Task(timed(steps), check)


def forward_task(workload: Workload, network: Network, params: Any, xs: Any, forward: Any) -> Task:
    ys: Any = None

    def calls_of(calls: int) -> None:
        nonlocal ys
        for _ in range(calls):
            ys = forward(params, xs).block_until_ready()

    def check() -> dict[str, Any]:
        loss = float(jnp.mean(jnp.square(ys)))
        check_output(workload, ys.shape, loss, network.time_major)
        return {"loss": loss, "parameters": parameters(params)}

    return Task(timed(calls_of), check)


def stream_task(stream: Stream, workload: Workload) -> Task:
    """Step after step, each waited for: who streams needs the output before the next input."""
    step = jax.jit(stream.apply)
    params = jax.tree.map(jnp.copy, stream.params)
    state = jax.tree.map(jnp.copy, stream.state)
    x = jnp.asarray(data(workload)[0])
    y: Any = None

    def steps(calls: int) -> None:
        nonlocal state, y
        for _ in range(calls):
            state, y = step(params, state, x)
            y.block_until_ready()

    def check() -> dict[str, Any]:
        check_output(workload, (1, *y.shape), float(jnp.mean(jnp.square(y))))
        return {"parameters": parameters(params)}

    return Task(timed(steps), check)


def compile_task(jitted: Jitted, params: Any, xs: Any) -> Task:
    """Trace and compile, once; what initialising the parameters has traced is forgotten first."""

    def compile_once(calls: int) -> None:
        jitted.lower(params, xs).compile()

    jax.clear_caches()
    return Task(timed(compile_once), lambda: {"parameters": parameters(params)})


def memory_task(jitted: Jitted, params: Any, xs: Any) -> Task:
    """The temporaries of the compiled program, in bytes."""

    def measure(calls: int) -> float:
        return float(jitted.lower(params, xs).compile().memory_analysis().temp_size_in_bytes)

    return Task(measure, lambda: {"parameters": parameters(params)})


def parameters(params: Any) -> int:
    """How many numbers are trained."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))
