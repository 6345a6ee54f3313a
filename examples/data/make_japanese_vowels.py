"""Make japanese_vowels.npz from the JapaneseVowels files that the sktime package carries.

python examples/data/make_japanese_vowels.py sktime-1.2.0-py3-none-any.whl

The argument is a wheel of sktime, or the directory of an installed sktime. README.md describes the
format.
"""

import argparse
import pathlib
import zipfile
from decimal import Decimal

import numpy as np

SPLITS = ("TRAIN", "TEST")
FEATURES = 12
SPEAKERS = 9


def texts(source: pathlib.Path) -> list[str]:
    """The two .ts files."""
    places = [
        f"{root}datasets/data/JapaneseVowels/JapaneseVowels_{{}}.ts" for root in ("", "sktime/")
    ]
    if source.is_dir():
        for place in places:
            paths = [source / place.format(split) for split in SPLITS]
            if all(path.is_file() for path in paths):
                return [path.read_text(encoding="utf-8") for path in paths]
    else:
        with zipfile.ZipFile(source) as wheel:
            for place in places:
                names = [place.format(split) for split in SPLITS]
                if set(names) <= set(wheel.namelist()):
                    return [wheel.read(name).decode() for name in names]
    raise FileNotFoundError(f"no JapaneseVowels .ts files in {source}")


def millionths(number: str) -> int:
    """The published decimal number times 1e6, exactly."""
    scaled = Decimal(number) * 10**6
    if scaled != scaled.to_integral_value():
        raise ValueError(f"{number} has more than 6 decimals")
    return int(scaled)


def parse(text: str) -> tuple[list[np.ndarray], list[int]]:
    """The utterances of a .ts file in millionths, (time, 12), and their speakers from 0."""
    lines = text.partition("@data")[2].split()
    sequences, labels = [], []
    for line in lines:
        *columns, speaker = line.split(":")
        rows = zip(*(column.split(",") for column in columns), strict=True)
        sequence = np.array([[millionths(number) for number in row] for row in rows], np.int64)
        if sequence.shape[1] != FEATURES or not 1 <= int(speaker) <= SPEAKERS:
            raise ValueError(f"not an utterance: {line[:60]}...")
        sequences.append(sequence)
        labels.append(int(speaker) - 1)
    return sequences, labels


def make(source: pathlib.Path, target: pathlib.Path) -> None:
    """Write the .npz."""
    sequences, labels, split = [], [], []
    for part, text in enumerate(texts(source)):
        more, speakers = parse(text)
        sequences += more
        labels += speakers
        split += [part] * len(more)
    columns = np.concatenate(sequences).T
    steps = np.diff(columns, axis=1, prepend=0) + 2**23
    if steps.min() < 0 or steps.max() >= 2**24:
        raise ValueError("a difference needs more than 24 bits")
    planes = np.stack([steps >> shift & 255 for shift in (0, 8, 16)]).astype(np.uint8)
    np.savez_compressed(
        target,
        planes=planes,
        lengths=np.array([len(sequence) for sequence in sequences], np.uint8),
        labels=np.array(labels, np.uint8),
        split=np.array(split, np.uint8),
    )


def main() -> None:
    """Read the arguments, write the file."""
    parser = argparse.ArgumentParser(description="Make japanese_vowels.npz.")
    parser.add_argument("source", type=pathlib.Path, help="a wheel or a directory of sktime")
    target = pathlib.Path(__file__).with_name("japanese_vowels.npz")
    parser.add_argument("--out", type=pathlib.Path, default=target)
    args = parser.parse_args()
    make(args.source, args.out)
    print(f"{args.out}: {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
