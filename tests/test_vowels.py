"""The JapaneseVowels file: what is published of it, and that it comes back from its sources."""

import hashlib
import importlib.util
import pathlib
from typing import Any

import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parents[1] / "examples"
DATA = EXAMPLES / "data" / "japanese_vowels.npz"
# The first and the last frame of the first training utterance and the last test utterance.
FIRST = (
    "1.860936 -0.207383 0.261557 -0.214562 -0.171253 -0.118167 "
    "-0.277557 0.025668 0.126701 -0.306756 -0.213076 0.088728"
)
LAST = (
    "1.177449 -0.40408 0.052026 -0.284812 0.42984 -0.203484 "
    "-0.072393 -0.080955 -0.244424 -0.001849 -0.016634 0.224688"
)


def example(name: str) -> Any:
    """A module of the examples."""
    path = EXAMPLES / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


vowels = example("vowels")


def test_counts() -> None:
    for (sequences, labels), counts in zip(
        vowels.load(), ([30] * 9, [31, 35, 88, 44, 29, 24, 40, 50, 29]), strict=True
    ):
        assert len(sequences) == len(labels) == sum(counts)
        assert np.bincount(labels).tolist() == counts
        assert labels.dtype == np.int32
        assert np.all(np.diff(labels) >= 0)


def test_sequences() -> None:
    train, test = vowels.load()
    sequences = train[0] + test[0]
    assert {xs.shape[1:] for xs in sequences} == {(12,)}
    assert {xs.dtype for xs in sequences} == {np.dtype(np.float32)}
    lengths = [len(xs) for xs in sequences]
    assert (min(lengths), max(lengths), sum(lengths)) == (7, 29, 4274 + 5687)
    assert len({xs.tobytes() for xs in sequences}) == 640


def test_values_are_the_published_ones() -> None:
    train, test = vowels.load()
    assert train[0][0].shape == (20, 12)
    for frame, published in ((train[0][0][0], FIRST), (test[0][-1][-1], LAST)):
        np.testing.assert_array_equal(frame, np.array(published.split(), np.float32))


def test_file_is_small_and_the_one_described() -> None:
    content = DATA.read_bytes()
    assert len(content) < 300_000
    readme = (DATA.parent / "README.md").read_text(encoding="utf-8")
    assert f"{len(content)} bytes" in readme
    assert hashlib.sha256(content).hexdigest() in readme


def test_missing_file(tmp_path: pathlib.Path) -> None:
    with pytest.raises(FileNotFoundError, match="make_japanese_vowels"):
        vowels.load(tmp_path / "nothing.npz")


def write_sources(directory: pathlib.Path) -> pathlib.Path:
    """The .ts files again, from the loaded values; the path of the first."""
    folder = directory / "datasets" / "data" / "JapaneseVowels"
    folder.mkdir(parents=True)
    for split, (sequences, labels) in zip(("TRAIN", "TEST"), vowels.load(), strict=True):
        lines = [
            ":".join([*(",".join(f"{x:.6f}" for x in column) for column in xs.T), str(label + 1)])
            for xs, label in zip(sequences, labels, strict=True)
        ]
        text = "\n".join(["# of the UCI archive", "@dimensions 12", "@data", *lines, ""])
        (folder / f"JapaneseVowels_{split}.ts").write_text(text, encoding="utf-8")
    return folder / "JapaneseVowels_TRAIN.ts"


def test_make_gives_the_file_back(tmp_path: pathlib.Path) -> None:
    write_sources(tmp_path)
    made = tmp_path / "made.npz"
    example("data/make_japanese_vowels").make(tmp_path, made)
    with np.load(DATA) as ours, np.load(made) as again:
        assert sorted(ours) == sorted(again) == ["labels", "lengths", "planes", "split"]
        for name in ours:
            np.testing.assert_array_equal(ours[name], again[name])


def test_make_refuses(tmp_path: pathlib.Path) -> None:
    maker = example("data/make_japanese_vowels")
    with pytest.raises(FileNotFoundError, match=r"no JapaneseVowels \.ts files"):
        maker.make(tmp_path, tmp_path / "made.npz")
    path = write_sources(tmp_path)
    path.write_text(path.read_text().replace("1.860936", "1.8609361"), encoding="utf-8")
    with pytest.raises(ValueError, match="more than 6 decimals"):
        maker.make(tmp_path, tmp_path / "made.npz")
    assert maker.millionths("-8.3E-4") == -830
