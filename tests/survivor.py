"""A training that is killed at random moments, and one that is not: do they end with the same bits?

    python tests/survivor.py --kills 20 --seed 0

Each life is a process of its own, forked before jax has begun, and ended by SIGKILL.
"""

import argparse
import os
import pathlib
import random
import signal
import tempfile
import time
import traceback
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint  # here, so that it is not imported in every life
import safetensors.numpy

import jaxnn

STEPS = 150
OPTIMIZER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
MODEL = jaxnn.serial(
    jaxnn.as_layer(jaxnn.gru(1, 8)), jaxnn.dropout(0.2), jaxnn.pool_over_time("last"),
    jaxnn.dense(8, 2),
)  # fmt: skip


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """With dropout, and a state that is carried from batch to batch."""
    logits = MODEL.apply(params, batch.xs, batch.mask, key)
    total, weight = jaxnn.losses.cross_entropy(logits, batch.targets, batch.valid)
    return total, weight, 0.9 * state + jnp.sum(logits)


def train(folder: pathlib.Path | None, begun: int) -> jaxnn.training.Fit:
    """Several shuffled epochs of ragged sequences, with an evaluation that has its best in them."""
    data = np.random.default_rng(0)
    xs = [data.normal(size=(n, 1)).astype(np.float32) for n in data.integers(3, 9, 70)]
    batches = jaxnn.data.batches(
        xs, [int(x.sum() > 0) for x in xs], 8, seed=3, boundaries=[5, 8], epochs=99
    )
    params = MODEL.init(jax.random.key(0))
    first = jaxnn.training.train_state(
        params, OPTIMIZER, jax.random.key(1), state=jnp.zeros((), jnp.float32)
    )
    checkpoint = folder and jaxnn.training.CheckpointOptions(folder, every=7, keep=2)
    return jaxnn.training.fit(
        jaxnn.training.train_step(loss, OPTIMIZER),
        first,
        batches,
        steps=STEPS,
        evaluate=lambda current: jnp.abs(current.params[3].bias - 0.02).sum(),
        evaluate_every=10,
        best="min",
        progress=False,
        on_step=lambda step, metrics: os.write(begun, b"."),
        checkpoint=checkpoint or None,
    )


def values(result: jaxnn.training.Fit) -> dict[str, np.ndarray]:
    """All that must not depend on when it was killed."""
    assert result.best is not None and result.stopped == "done"
    state = result.train_state._replace(key=jax.random.key_data(result.train_state.key))
    evaluations = [(step, float(value)) for step, value in result.history.evaluations]
    tree = (state, result.best, result.history.loss, evaluations)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): np.array(leaf) for path, leaf in leaves}


def begin(folder: pathlib.Path | None, out: pathlib.Path) -> tuple[int, int]:
    """A life: the number of a process that trains, and writes what it ends with.

    And a pipe that has a byte for each of its steps.
    """
    reader, writer = os.pipe()
    number = os.fork()
    if number:
        os.close(writer)
        return number, reader
    try:
        os.close(reader)
        warnings.simplefilter("error")  # a damaged checkpoint, above all
        warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
        result = train(folder, writer)
        out.write_bytes(safetensors.numpy.save(values(result)))
        print(f"done, having gone on from step {result.resumed}", flush=True)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def end(life: tuple[int, int]) -> float:
    """Wait for a life that nobody ends; the seconds from its first step on."""
    number, reader = life
    os.read(reader, 1)
    begun = time.monotonic()
    _, status = os.waitpid(number, 0)
    os.close(reader)
    assert os.waitstatus_to_exitcode(status) == 0, "it failed by itself"
    return time.monotonic() - begun


def main() -> None:
    """One that never stops, then one that is killed so many times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    assert orbax.checkpoint
    with tempfile.TemporaryDirectory() as name:
        place = pathlib.Path(name)
        # Its own, in which a life may leave a program that is half written.
        jax.config.update("jax_compilation_cache_dir", str(place / "programs"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        end(begin(None, place / "never_stopped"))
        want = (place / "never_stopped").read_bytes()
        seconds = end(begin(place / "unhurt", place / "result"))
        assert (place / "result").read_bytes() == want
        draw, kills, folder = random.Random(options.seed), 0, 0
        while kills < options.kills:
            number, reader = begin(place / f"killed_{folder}", place / "result")
            if draw.random() < 0.8:
                os.read(reader, 1)  # its first step; else it may be killed before that
            time.sleep(draw.uniform(0.0, 0.3) * seconds)
            ended, status = os.waitpid(number, os.WNOHANG)
            if ended:  # it was quicker: this one is at its end
                os.close(reader)
                assert not status and (place / "result").read_bytes() == want
                folder += 1
                continue
            os.kill(number, signal.SIGKILL)
            os.waitpid(number, 0)
            os.close(reader)
            kills += 1
            kept = sorted(path.name for path in (place / f"killed_{folder}").glob("*"))
            print(f"kill {kills}: {' '.join(kept)}", flush=True)
        (place / "result").unlink(missing_ok=True)
        end(begin(place / f"killed_{folder}", place / "result"))
        assert (place / "result").read_bytes() == want
        print(f"killed {kills} times, and all of it the same, bit for bit")


if __name__ == "__main__":
    main()
