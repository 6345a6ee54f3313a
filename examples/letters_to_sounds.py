"""How an English word is said: a pretrained encoder and decoder, brought from a file of numpy.

g2p-en (Apache-2.0) spells words in ARPAbet: a GRU reads the letters, its last state is where a
second one starts, which says one sound after the other until it says that the word ends
(`jaxnn.decode`). Words of any lengths are one batch, with a mask. The picture shows how sure it is.
"""

import argparse
import io
import string
from collections.abc import Sequence
from typing import Any

import drawing
import jax
import jax.numpy as jnp
import numpy as np
import wheels
from command_line import need, parser

import jaxnn
from jaxnn.types import Array, Params

PACKAGE, WEIGHTS = "g2p-en==2.1.0", "g2p_en/checkpoint20.npz"
LETTERS = ["<pad>", "<unk>", "</s>", *string.ascii_lowercase]
ARPABET = """
AA0 AA1 AA2 AE0 AE1 AE2 AH0 AH1 AH2 AO0 AO1 AO2 AW0 AW1 AW2 AY0 AY1 AY2 B CH D DH EH0 EH1 EH2 ER0
ER1 ER2 EY0 EY1 EY2 F G HH IH0 IH1 IH2 IY0 IY1 IY2 JH K L M N NG OW0 OW1 OW2 OY0 OY1 OY2 P R S SH
T TH UH0 UH1 UH2 UW UW0 UW1 UW2 V W Y Z ZH"""
SOUNDS = ["<pad>", "<unk>", "<s>", "</s>", *ARPABET.split()]
UNKNOWN, LETTERS_END, START, END = LETTERS.index("<unk>"), LETTERS.index("</s>"), 2, 3
LONGEST = 20
"""Sounds at the most, as in the package."""
WIDTH = 256

ENCODER = jaxnn.stack(
    jaxnn.embedding(len(LETTERS), WIDTH), jaxnn.gru(WIDTH, WIDTH), names=("embedding", "gru")
)
DECODER = jaxnn.stack(
    jaxnn.embedding(len(SOUNDS), WIDTH),
    jaxnn.gru(WIDTH, WIDTH),
    jaxnn.dense(WIDTH, len(SOUNDS)),
    names=("embedding", "gru", "head"),
)


def pretrained(file: bytes) -> tuple[Params, Params]:
    """The parameters of encoder and decoder, whose GRUs are torch's."""
    import jaxnn.interop.torch

    with np.load(io.BytesIO(file)) as arrays:
        weights = dict(arrays)

    def of(model: Any, part: str) -> Params:
        gru = {"w_ih": "weight_ih", "w_hh": "weight_hh", "b_ih": "bias_ih", "b_hh": "bias_hh"}
        found = {f"gru.{name}": weights[f"{part}_{short}"] for short, name in gru.items()}
        found["embedding.weight"] = weights[f"{part}_emb"]
        if part == "dec":
            found |= {"head.weight": weights["fc_w"], "head.bias": weights["fc_b"]}
        return jaxnn.interop.torch.from_state_dict(model, found)

    return of(ENCODER, "enc"), of(DECODER, "dec")


def letters(words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens `(time, words)`, each word with its end, and how many of them there are."""
    lengths = np.array([len(word) + 1 for word in words])
    tokens = np.zeros((lengths.max(), len(words)), np.int32)
    for column, word in enumerate(words):
        spelled = [LETTERS.index(c) if c in string.ascii_lowercase else UNKNOWN for c in word]
        tokens[: len(word) + 1, column] = [*spelled, LETTERS_END]
    return tokens, lengths


def read(params: tuple[Params, Params], words: Sequence[str]) -> Any:
    """The state of the decoder after the letters of each word."""
    tokens, lengths = letters(words)
    mask = jaxnn.lengths_to_mask(lengths, len(tokens))
    state, _ = ENCODER.unroll(params[0], tokens, mask=mask)
    return DECODER.initial_state(params[1], (len(words),))._replace(gru=state.gru)


def say(params: tuple[Params, Params], words: Sequence[str]) -> list[list[str]]:
    """The most likely sound at each step, of each word."""
    first = jnp.full(len(words), START, jnp.int32)
    found = jaxnn.decode(DECODER, params[1], read(params, words), first, LONGEST, stop=END)
    tokens = np.asarray(found.tokens).T
    ends = [row.tolist().index(END) if END in row else LONGEST for row in tokens]
    return [[SOUNDS[t] for t in row[:end]] for row, end in zip(tokens, ends, strict=True)]


def sureness(params: tuple[Params, Params], word: str, said: Sequence[str]) -> Array:
    """The probability of every sound at every step of one word, `(steps, sounds)`."""
    before = jnp.array([[START], *([SOUNDS.index(sound)] for sound in said)], jnp.int32)
    _, logits = DECODER.unroll(params[1], before, read(params, [word]))
    return jax.nn.softmax(logits[:, 0])


def main() -> None:
    """Say the words; the picture of the last one."""
    made = parser(__doc__)
    some = ["recurrent", "jaxnn", "photosynthesis", "knightliness", "activationist"]
    made.add_argument("words", nargs="*", default=some, type=str.lower, help="what is to be said")
    wheels.add_wheel(made, PACKAGE)
    args: argparse.Namespace = made.parse_args()
    need("matplotlib")
    params = pretrained(wheels.read(args, WEIGHTS))
    spoken = say(params, args.words)
    for word, sounds in zip(args.words, spoken, strict=True):
        print(f"{word}: {' '.join(sounds)}")
    shares = np.asarray(sureness(params, args.words[-1], spoken[-1]))
    likely = np.flatnonzero(shares.max(axis=0) > 0.02)
    figure, (axes,) = drawing.panels(1)
    image = axes.imshow(shares[:, likely].T, aspect="auto", cmap="Blues", vmin=0, vmax=1)
    axes.set_yticks(range(len(likely)), [SOUNDS[sound] for sound in likely])
    axes.set_xticks(range(len(shares)), [*spoken[-1], "end"], rotation=90)
    axes.set(title=args.words[-1], xlabel="what is said")
    figure.colorbar(image, label="probability")
    drawing.save(figure, args.out / "letters_to_sounds.png")


if __name__ == "__main__":
    main()
