"""The JapaneseVowels recordings, from the file in data/ (its README says what they are)."""

import pathlib

import numpy as np

PATH = pathlib.Path(__file__).parent / "data" / "japanese_vowels.npz"

Utterances = tuple[list[np.ndarray], np.ndarray]


def load(path: str | pathlib.Path | None = None) -> tuple[Utterances, Utterances]:
    """The 270 utterances for training and the 370 for the test.

    Either is `(sequences, labels)`: a list of float32 arrays `(time, 12)`, 7 to 29 frames each, and
    an int32 array with the speaker of each, 0 to 8. The order is the published one, which is sorted
    by speaker. `path` is another copy of `japanese_vowels.npz`.
    """
    path = PATH if path is None else pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"no file {path}; data/make_japanese_vowels.py makes japanese_vowels.npz"
        )
    with np.load(path, allow_pickle=False) as file:
        planes, lengths, labels, split = (
            file[name] for name in ("planes", "lengths", "labels", "split")
        )
    low, middle, high = planes.astype(np.int64)
    millionths = np.cumsum(low + (middle << 8) + (high << 16) - 2**23, axis=1)
    frames = (millionths.T / 1e6).astype(np.float32, order="C")
    sequences = np.split(frames, np.cumsum(lengths)[:-1])
    train, test = (
        (
            [xs.copy() for xs, part in zip(sequences, split, strict=True) if part == wanted],
            labels[split == wanted].astype(np.int32),
        )
        for wanted in (0, 1)
    )
    return train, test
