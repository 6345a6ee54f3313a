"""The next character of a text: stacked LSTMs or GRUs, truncated BPTT, and a text that they write.

The text is cut into streams that are read side by side, a chunk a step; the state is carried from
chunk to chunk. 90 % of it are for training, then 5 % each for validation and test. On War and Peace
this is the task of Karpathy, Johnson & Fei-Fei 2015 (arXiv 1506.02078), on a smaller budget.
"""

import gzip
import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import Any

import command_line
import drawing
import jax
import numpy as np
import optax

import jaxnn
from jaxnn import plot
from jaxnn.types import Array, Cell, Params, State

SONNETS = pathlib.Path(__file__).parent / "data" / "sonnets.txt"
MAKE = {"lstm": jaxnn.lstm, "gru": jaxnn.gru}


def read(path: pathlib.Path | None) -> str:
    """The text: of the file, of War and Peace where it is found, or else eleven sonnets."""
    if path is None:
        found = command_line.data_folder() / "warpeace_input.txt.gz"
        path = found if found.is_file() else SONNETS
    try:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            text = file.read().decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        command_line.stop(f"{path}: {error}; --data takes any text in UTF-8, plain or .gz")
    print(f"{path.name}: {len(text):,} characters, {len(set(text))} different ones")
    return text


def streams(tokens: np.ndarray, count: int) -> Iterator[Any]:
    """One pass, side by side: `((xs, targets, reset), mask)` of each chunk, time first."""
    steps = (len(tokens) - 1) // count
    if steps < 1:
        command_line.stop(f"too short a text: {len(tokens)} characters for {count} streams")
    xs, targets = (tokens[at : at + steps * count].reshape(count, steps).T for at in (0, 1))
    reset = np.zeros(xs.shape, bool)
    reset[0] = True  # from the end of the text to its beginning nothing is carried
    return jaxnn.data.chunks((xs, targets, reset), 100)


def nats(model: Cell, params: Params, state: State, batch: Any) -> tuple[Array, Array, State]:
    """The sum over a chunk, how many characters it has, and the state after it."""
    (xs, targets, reset), mask = batch
    state, logits = model.unroll(params, xs, state, mask, reset)
    return *jaxnn.losses.cross_entropy(logits, targets, mask), state


def mean_nats(model: Cell, params: Params, tokens: np.ndarray) -> float:
    """Nats a character of a text, its state carried along."""
    run, count = jax.jit(nats, static_argnums=0), max(1, min(64, len(tokens) // 100))
    state, sums = model.initial_state(params, (count,)), np.zeros(2)
    for batch in streams(tokens, count):
        total, weight, state = run(model, params, state, batch)
        sums += float(total), float(weight)
    return sums[0] / sums[1]


def draw(path: pathlib.Path, result: jaxnn.training.Fit, text: str, surprise: Any) -> None:
    """The learning curve, and text that was not trained on, coloured by its nats."""
    figure, (left, right) = drawing.panels(2, widths=(1, 1.4))
    plot.learning_curve(left, result.history.loss)
    left.plot(*zip(*result.history.evaluations, strict=True), "ko", label="validation")
    left.set(ylabel="nats a character", yscale="linear")
    left.legend(frameon=False)
    drawing.coloured_text(right, text, surprise, largest=6)
    right.set_title("test text; the darker, the less expected (−log p)")
    drawing.save(figure, path)


def main() -> None:
    """Train, save, load again, test, write, draw."""
    parser, whole = command_line.parser(__doc__), command_line.positive
    source = "any text, .gz or not; War and Peace: cs.stanford.edu/people/karpathy/char-rnn"
    parser.add_argument("--data", type=pathlib.Path, help=source)
    parser.add_argument("--cell", choices=MAKE, default="lstm", help="recurrent cell")
    parser.add_argument("--hidden", type=whole, default=128, help="units in each layer")
    parser.add_argument("--layers", type=whole, default=2, help="recurrent layers")
    parser.add_argument("--steps", type=whole, default=1500, help="updates of the parameters")
    parser.add_argument(
        "--streams", type=whole, default=64, help="pieces of the text that are read side by side"
    )
    parser.add_argument(
        "--temperature",
        type=command_line.above_zero,
        default=0.7,
        help="of the written text: lower is safer",
    )
    parser.add_argument("--characters", type=whole, default=600, help="length of the written text")
    parser.add_argument(
        "--cores", type=whole, help="CPU cores that share each batch; all by default"
    )
    args = parser.parse_args()
    mesh = jaxnn.training.cpu_mesh(args.cores)
    if args.streams % mesh.size:
        parser.error(f"argument --streams: it must be a multiple of the {mesh.size} devices")
    init_key, train_key, say_key = jax.random.split(jax.random.key(args.seed), 3)
    began = time.perf_counter()

    text = read(args.data)
    vocabulary, tokens = np.unique([*text], return_inverse=True)
    tokens = tokens.astype(np.int32)
    train, valid, test = np.split(tokens, [int(0.9 * len(text)), int(0.95 * len(text))])
    model = jaxnn.stack(
        jaxnn.embedding(len(vocabulary), args.hidden),
        *[MAKE[args.cell](args.hidden, args.hidden)] * args.layers,
        jaxnn.dense(args.hidden, len(vocabulary)),
    )
    params = model.init(init_key)
    state = model.initial_state(params, (args.streams,))
    schedule = optax.schedules.warmup_cosine_decay_schedule(0.0, 4e-3, args.steps // 20, args.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    result = jaxnn.training.fit(
        jaxnn.training.train_step(
            lambda p, s, batch, key: nats(model, p, s, batch), optimizer, mesh, 1
        ),
        jaxnn.training.train_state(params, optimizer, train_key, state),
        itertools.chain.from_iterable(streams(train, args.streams) for _ in itertools.count()),
        args.steps,
        lambda current: mean_nats(model, jax.device_get(current.params), valid),
        evaluate_every=max(1, args.steps // 10),
    )

    args.out.mkdir(parents=True, exist_ok=True)
    jaxnn.training.save(args.out / "next_character.safetensors", result.train_state.params)
    params = jaxnn.training.load(args.out / "next_character.safetensors", like=params)
    test_nats, seconds = mean_nats(model, params, test), time.perf_counter() - began
    print(f"{model}, {args.steps} steps, {seconds:.0f} s: test {test_nats:.3f} nats a character")
    draw_token = jaxnn.sampling.categorical(args.temperature)
    written = jaxnn.decode(model, params, None, test[0], args.characters, draw_token, key=say_key)
    print("".join(vocabulary[written.tokens].tolist()))
    shown = test[1:][:900]
    logits = model.unroll(params, test[: len(shown)])[1]
    surprise = optax.losses.softmax_cross_entropy_with_integer_labels(logits, shown)
    draw(args.out / "next_character.png", result, "".join(vocabulary[shown].tolist()), surprise)


if __name__ == "__main__":
    main()
