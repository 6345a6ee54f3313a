"""An LSTM as an ONNX file: jaxnn's beside jax2onnx's, both run by onnxruntime, in turn.

jax2onnx pins an older orbax-checkpoint than jaxnn's tests take, so it wants an environment of its
own: `pip install -e . jax2onnx onnxruntime && python -m benchmarks.onnx_files`.
"""

import importlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn.interop.onnx import to_model

SHAPES = ((100, 32, 64, 128), (200, 1, 64, 256), (50, 8, 32, 512))
"""Time, batch, input and hidden."""
ROUNDS = 15


def runner(proto: Any, xs: np.ndarray) -> Callable[[], np.ndarray]:
    """One run of a file, on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {session.get_inputs()[0].name: xs}
    return lambda: np.asarray(session.run(None, feeds)[0])


def seconds(run: Callable[[], np.ndarray]) -> float:
    """The mean of as many calls as fill 0.1 s, after one that is not timed."""
    run()
    begin, calls = time.perf_counter(), 0
    while time.perf_counter() - begin < 0.1:
        run()
        calls += 1
    return (time.perf_counter() - begin) / calls


def main() -> None:
    """A row for each shape."""
    to_onnx = importlib.import_module("jax2onnx").to_onnx
    print("time × batch × input × hidden | jaxnn | jax2onnx | jaxnn / jax2onnx")
    for steps, batch, size, hidden in SHAPES:
        cell = jaxnn.lstm(size, hidden)
        params = cell.init(jax.random.key(0))
        xs = np.random.default_rng(0).standard_normal((steps, batch, size), np.float32)
        plain = jaxnn.with_method(cell, "sequential")  # a plain scan, which jax2onnx can read
        theirs = to_onnx(lambda xs, run=plain: run.unroll(params, xs)[1], [xs.shape])  # noqa: B023
        runs = [runner(to_model(cell, params, jnp.asarray(xs)), xs), runner(theirs, xs)]
        np.testing.assert_allclose(runs[0](), runs[1](), atol=1e-5)
        rounds = [[seconds(run) for run in runs] for _ in range(ROUNDS)]
        ours, other = (statistics.median(each) * 1e3 for each in zip(*rounds, strict=True))
        ratio = statistics.median(mine / peer for mine, peer in rounds)
        shape = " × ".join(map(str, (steps, batch, size, hidden)))
        print(f"{shape} | {ours:.2f} ms | {other:.2f} ms | {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
