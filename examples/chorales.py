"""Which notes sound next: Elman, LSTM and GRU on Bach's chorales, at about 300,000 parameters.

229, 76 and 77 chorales for training, validation and test; 88 notes, on or off, at each step. The
loss is Bai's (2018, arXiv 1803.01271): nats, summed over the notes, averaged over the steps. The
hyperparameters were chosen on the validation set (chorales_search.py), which also says when to
stop; the test set is used once, at the end. The last model then goes on with a chorale by itself.
"""

import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import command_line
import drawing
import early_stopping
import jax
import jax.numpy as jnp
import jsb
import numpy as np
import optax

import jaxnn
from jaxnn.types import Array, Cell, Key, Params

PUBLISHED = {"elman": 8.91, "lstm": 8.45, "gru": 8.43}
MAKE = {"elman": jaxnn.elman, "lstm": jaxnn.lstm, "gru": jaxnn.gru}
HIDDEN = {"elman": 464, "lstm": 224, "gru": 264}  # about 300,000 parameters each
# Four notes of 88 sound at a time: the usual kernels would let them drive the gates too little.
KERNEL_INIT = jaxnn.initializers.per_gate(jax.nn.initializers.normal(0.4))

OPENING = 17
"""So many steps of a chorale are given where the model writes."""


class Settings(NamedTuple):
    """The hyperparameters."""

    learning_rate: float
    input_dropout: float
    output_dropout: float


BEST = {
    "elman": Settings(5e-3, 0.2, 0.5),
    "lstm": Settings(1e-2, 0.2, 0.3),
    "gru": Settings(1e-2, 0.3, 0.1),
}


def build(name: str, settings: Settings) -> Cell:
    """The whole model: logits of the next step's notes."""
    return jaxnn.stack(
        jaxnn.dropout(settings.input_dropout),
        MAKE[name](jsb.NOTES, HIDDEN[name], kernel_init=KERNEL_INIT),
        jaxnn.dropout(settings.output_dropout),
        jaxnn.dense(HIDDEN[name], jsb.NOTES),
    )


def nats(model: Cell, params: Params, batch: jaxnn.data.Batch, key: Key | None = None) -> Any:
    """The sum over all valid steps, and their number."""
    _, logits = model.unroll(params, batch.xs, mask=batch.mask, key=key)
    return jaxnn.losses.binary_cross_entropy(logits, batch.targets, batch.mask)


def train(
    name: str,
    settings: Settings,
    steps: int,
    chorales: jsb.Chorales,
    valid: jsb.Chorales,
    seed: int,
    mesh: jax.sharding.Mesh | None = None,
) -> tuple[Cell, early_stopping.Best, jaxnn.training.Fit]:
    """The model, its parameters where the validation loss was lowest, and how it went."""
    model = build(name, settings)
    init_key, key = jax.random.split(jax.random.key(seed))
    peak = settings.learning_rate
    schedule = optax.schedules.warmup_cosine_decay_schedule(0.0, peak, steps // 20, steps)
    adamw = optax.adamw(schedule, weight_decay=1e-2, mask=jaxnn.training.decay_mask)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), adamw)

    def loss(params: Params, state: Any, batch: jaxnn.data.Batch, key: Key) -> Any:
        return *nats(model, params, batch, key), state

    def endless() -> Iterator[jaxnn.data.Batch]:
        for epoch in itertools.count():
            yield from jsb.batches(chorales, 16, (seed, epoch))

    (held_out,) = jsb.batches(valid, len(valid))
    best = early_stopping.Best(jax.jit(lambda params: nats(model, params, held_out)))
    result = jaxnn.training.fit(
        # xs, targets and mask have the batch second, what is one number a sample first
        jaxnn.training.train_step(
            loss, optimizer, mesh, batch_axis=jaxnn.data.Batch._make((1, 1, 1, 0, 0))
        ),
        jaxnn.training.train_state(model.init(init_key), optimizer, key),
        endless(),
        steps,
        best,
        evaluate_every=50,
    )
    return model, best, result


def drawn_notes(logits: Array, key: Key | None) -> Array:
    """Each note by itself, as the loss has it."""
    assert key is not None
    return jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype)


def write(model: Cell, params: Params, opening: Array, steps: int, key: Key) -> Array:
    """How the model goes on after some steps of a chorale, `(steps, notes)`."""
    state, _ = model.unroll(params, opening[:-1])
    return jaxnn.decode(model, params, state, opening[-1], steps, drawn_notes, key=key).tokens


def draw(
    path: pathlib.Path,
    curves: dict[str, Any],
    chorale: np.ndarray,
    guesses: Any,
    written: np.ndarray,
) -> None:
    """The validation loss of each cell; what the last one expected of a test chorale, and how it
    goes on itself."""
    figure, (left, right, last) = drawing.panels(3, widths=(1, 1.6, 1.3))
    for (name, curve), style in zip(curves.items(), ("-", "--", ":"), strict=False):
        left.plot(*zip(*curve, strict=True), style, label=name)
    left.set(xlabel="step", ylabel="validation loss (nats a step)")
    left.legend(frameon=False)
    image = right.imshow(guesses.T, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=1)
    step, note = np.nonzero(chorale[1:])
    right.plot(step, note, "o", color="tab:red", markersize=3, fillstyle="none", label="sounds")
    right.set(xlabel="step", ylabel="note", ylim=(20, 78), title=f"a test chorale, {[*curves][-1]}")
    right.legend(loc="upper right")
    figure.colorbar(image, label="probability, one step before")
    for first, notes, colour in ((0, chorale[:OPENING], "tab:red"), (OPENING, written, "tab:blue")):
        step, note = np.nonzero(notes)
        last.plot(step + first, note, "s", color=colour, markersize=3)
    title = f"the first {OPENING} steps, and how it goes on"
    last.set(xlabel="step", ylabel="note", ylim=(20, 78), title=title)
    drawing.save(figure, path)


def main() -> None:
    """Train and test each cell, once for each seed; draw."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--data", type=pathlib.Path, default=jsb.PATH, help=jsb.SOURCE)
    parser.add_argument(
        "--cells", nargs="+", choices=MAKE, default=list(MAKE), help="which are trained"
    )
    parser.add_argument(
        "--steps", type=command_line.positive, default=1200, help="updates of the parameters"
    )
    parser.add_argument(
        "--seeds", type=command_line.positive, default=1, help="how many seeds, from --seed on"
    )
    parser.add_argument(
        "--cores",
        type=command_line.positive,
        help="CPU cores that share each batch; all by default",
    )
    args = parser.parse_args()
    mesh = jaxnn.training.cpu_mesh(args.cores)
    chorales, valid, test = jsb.load(args.data)
    (tested,) = jsb.batches(test, len(test))
    runs = []
    for name in args.cells:
        losses = []
        for seed in range(args.seed, args.seed + args.seeds):
            began = time.perf_counter()
            model, best, result = train(name, BEST[name], args.steps, chorales, valid, seed, mesh)
            total, weight = jax.jit(nats, static_argnums=0)(model, best.params, tested)
            losses.append(float(total / weight))
            runs.append((name, model, best.params, result.history.evaluations))
            print(f"{name}, seed {seed}: test {losses[-1]:.3f} nats a step, validation "
                  f"{best.loss:.3f}, {time.perf_counter() - began:.0f} s")  # fmt: skip
        print(f"{name}: mean {np.mean(losses):.3f}, published {PUBLISHED[name]:.2f}", flush=True)
    name, model, params, _ = runs[-1]
    guesses = jax.nn.sigmoid(model.unroll(params, test[0][:-1])[1])
    curves = {name: evaluations for name, _, _, evaluations in runs}
    opening, key = jnp.asarray(test[0][:OPENING]), jax.random.key(args.seed)
    written = np.asarray(write(model, params, opening, 64, key))
    draw(args.out / "chorales.png", curves, test[0], guesses, written)


if __name__ == "__main__":
    main()
