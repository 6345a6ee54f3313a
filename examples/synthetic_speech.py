"""Speech from a formula: a buzz and a hiss through formants, after Klatt 1980, and when it sounds.

Nothing is recorded, so that an example needs no file, and it is known where speech begins and ends.
"""

import itertools

import numpy as np

RATE = 16_000
VOWELS = {  # formants in Hz: Peterson & Barney 1952, table II, men
    "i": (270, 2290, 3010),
    "e": (530, 1840, 2480),
    "a": (730, 1090, 2440),
    "o": (570, 840, 2410),
    "u": (300, 870, 2240),
    "ə": (490, 1350, 1690),
}
BANDWIDTHS = 60, 90, 150


def resonate(x: np.ndarray, frequencies: np.ndarray, bandwidth: float) -> np.ndarray:
    """A resonator of the second order whose frequency moves; Klatt 1980, equation 1."""
    c = -np.exp(-2 * np.pi * bandwidth / RATE)
    b = 2 * np.exp(-np.pi * bandwidth / RATE) * np.cos(2 * np.pi * frequencies / RATE)
    y, last, before = np.zeros_like(x), 0.0, 0.0
    for t, (value, slope) in enumerate(zip(x, b, strict=True)):
        last, before = (1 - slope - c) * value + slope * last + c * before, last
        y[t] = last
    return y


def syllables(rng: np.random.Generator, count: int, pitch: float, tract: float = 1.0) -> np.ndarray:
    """So many syllables: a hiss, then a vowel that glides on to the next one.

    The voice is `pitch`, in Hz, and the formants, all of them higher by the factor `tract`.
    """
    pieces, vowels = [], rng.choice(list(VOWELS), count + 1)
    for here, there in itertools.pairwise(vowels):
        hiss = 0.02 * rng.normal(size=int(RATE * rng.uniform(0.03, 0.08)))
        size = int(RATE * rng.uniform(0.12, 0.25))
        along = np.linspace(0, 1, size)
        f0 = pitch * (1.1 - 0.2 * along) * (1 + 0.01 * np.cumsum(rng.normal(size=size)) / RATE**0.5)
        phase = np.cumsum(f0 / RATE)
        pulses = np.diff(np.floor(phase), prepend=0) + 0.003 * rng.normal(size=size)
        voice = np.convolve(pulses, [1, -0.95])[:size]
        for one, other, width in zip(VOWELS[here], VOWELS[there], BANDWIDTHS, strict=True):
            voice = resonate(voice, tract * (one + (other - one) * along**2), width)
        envelope = np.minimum(1, 8 * np.minimum(along, 1 - along))
        pieces += [np.convolve(hiss, [1, -0.9])[: hiss.size], voice * envelope]
    return np.concatenate(pieces)


def recording(seed: int, seconds: float, noise: float = 0.002) -> tuple[np.ndarray, np.ndarray]:
    """Phrases and pauses in noise: the samples, float32 in [−1, 1], and where there is speech."""
    rng = np.random.default_rng(seed)
    sound = np.zeros(int(seconds * RATE))
    speech = np.zeros(sound.size, bool)
    place = int(RATE * rng.uniform(0.3, 0.8))
    while True:
        phrase = syllables(rng, int(rng.integers(3, 8)), rng.uniform(90, 200))
        if place + phrase.size >= sound.size:
            break
        sound[place : place + phrase.size] = phrase / np.abs(phrase).max() * rng.uniform(0.2, 0.6)
        speech[place : place + phrase.size] = True
        place += phrase.size + int(RATE * rng.uniform(0.4, 1.2))
    sound += noise * rng.normal(size=sound.size)
    return sound.astype(np.float32), speech
