"""A pretrained detector of speech: brought from its file, streamed, and fine-tuned for noise.

Silero VAD (MIT licence) reads 32 ms of sound at a time: a Fourier transform as a convolution, four
more convolutions, an LSTM and a dense layer. Here it is one `stack` with the weights of its wheel,
and the same function runs whole recordings and single chunks. The speech is synthetic, so that it
is known where it is; loud noise hides it, until the LSTM is trained on recordings in such noise.
"""

import argparse
from typing import Any

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import optax
import silero
import synthetic_speech
import wheels
from command_line import need, parser, positive

import jaxnn
from jaxnn.types import Array, Key, Params

SECONDS, QUIET, NOISE = 6, 0.002, 0.1


def recordings(seeds: range, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Chunks `(time, batch, 576)`, and whether most of each is speech `(time, batch)`."""
    made = [synthetic_speech.recording(seed, SECONDS, noise) for seed in seeds]
    sounds, speech = (np.stack(each) for each in zip(*made, strict=True))
    spoken = silero.chunks(speech.astype(np.float32))[..., silero.CONTEXT :].mean(axis=-1) > 0.5
    return silero.chunks(sounds), spoken


@jax.jit
def probabilities(params: Params, xs: Array) -> Array:
    """Of speech in each chunk of whole recordings."""
    return jax.nn.sigmoid(silero.detector().unroll(params, xs)[1][..., 0])


def streamed(params: Params, xs: np.ndarray) -> np.ndarray:
    """The same, chunk by chunk, as they would come from a microphone."""
    model, found = silero.detector(), []
    step, state = jax.jit(model.apply), model.initial_state(params, xs.shape[1:-1])
    for x in xs:
        state, y = step(params, state, x)
        found.append(jax.nn.sigmoid(y[..., 0]))
    return np.stack(found)


def fine_tuned(params: Params, steps: int, seed: int) -> Params:
    """Trained on recordings in noise: the LSTM and the head, the rest as it is."""
    xs, spoken = recordings(range(1000, 1032), NOISE)
    learn = {name: "adam" if name in ("lstm", "head") else "none" for name in params._fields}
    adam = optax.adam(optax.schedules.cosine_decay_schedule(1e-3, steps))
    choices: Any = {"adam": adam, "none": optax.set_to_zero()}
    optimizer = optax.partition(choices, type(params)(**learn))

    def loss(params: Params, state: Any, rows: Array, key: Key) -> Any:
        logits = silero.detector().unroll(params, jnp.asarray(xs)[:, rows])[1][..., 0]
        targets = jnp.asarray(spoken, jnp.float32)[:, rows]
        return *jaxnn.losses.binary_cross_entropy(logits, targets), state

    step = jaxnn.training.train_step(loss, optimizer)
    first = jaxnn.training.train_state(params, optimizer, jax.random.key(seed))
    rng = np.random.default_rng(seed)
    batches = (rng.choice(xs.shape[1], 8, replace=False) for _ in range(steps))
    return jaxnn.training.fit(step, first, batches).train_state.params


def main() -> None:
    """Whole, streamed, in noise, fine-tuned; the picture."""
    made = parser(__doc__)
    made.add_argument("--steps", type=positive, default=60, help="updates of the fine-tuning")
    wheels.add_wheel(made, silero.PACKAGE)
    args: argparse.Namespace = made.parse_args()
    need("matplotlib", "tqdm", "onnx")
    params = silero.pretrained(wheels.read(args, silero.WEIGHTS))
    quiet, loud = recordings(range(20), QUIET), recordings(range(20), NOISE)
    whole, one_by_one = probabilities(params, quiet[0]), streamed(params, quiet[0])
    print(
        f"whole and streamed differ by {np.abs(whole - one_by_one).max():.1e} at the most, and in "
        f"{np.sum((whole > 0.5) != (one_by_one > 0.5))} of {whole.size} decisions"
    )
    tuned = fine_tuned(params, args.steps, args.seed)
    found = {"in quiet": (whole, quiet[1])}
    for name, each in {"in noise": params, "fine-tuned": tuned}.items():
        found[name] = np.asarray(probabilities(each, loud[0])), loud[1]
    for name, (p, spoken) in found.items():
        print(f"{name:<10} {np.mean((p > 0.5) == spoken):.1%} of the chunks right")
    figure, (axes,) = drawing.panels(1)
    seconds = np.arange(whole.shape[0]) * silero.CHUNK / synthetic_speech.RATE
    axes.fill_between(seconds, loud[1][:, 0], step="post", color="0.9", label="speech")
    for name, (p, _) in found.items():
        axes.plot(seconds, p[:, 0], label=name, linewidth=1)
    axes.set(xlabel="seconds", ylabel="probability of speech")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
    drawing.save(figure, args.out / "speech_detector.png")


if __name__ == "__main__":
    main()
