"""How the hyperparameters of chorales.py were chosen: the same candidates for each of the three
cells, one training each, and the lowest validation loss. The test set is not touched.

In the order of the candidates, validation loss with seed 0 and the defaults, 23 to 179 s a training
on two busy cores:

    elman  8.787  8.955  10.381  9.377  8.736  9.275  9.192
    lstm   8.605  8.435   8.542  8.517  8.536  8.513  8.491
    gru    8.522  8.469   8.478  8.599  8.570  8.526  8.467
"""

import argparse
import pathlib
import time

import command_line
import jsb
from chorales import MAKE, Settings, train

CANDIDATES = [
    Settings(learning_rate=5e-3, input_dropout=0.3, output_dropout=0.3),
    Settings(learning_rate=1e-2, input_dropout=0.2, output_dropout=0.3),
    Settings(learning_rate=2e-2, input_dropout=0.2, output_dropout=0.3),
    Settings(learning_rate=1e-2, input_dropout=0.3, output_dropout=0.5),
    Settings(learning_rate=5e-3, input_dropout=0.2, output_dropout=0.5),
    Settings(learning_rate=1e-2, input_dropout=0.3, output_dropout=0.3),
    Settings(learning_rate=1e-2, input_dropout=0.3, output_dropout=0.1),
]


def main() -> None:
    """Every candidate, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--cells", nargs="+", choices=MAKE, default=list(MAKE), help="which are trained"
    )
    parser.add_argument("--steps", type=command_line.positive, default=800, help="updates of each")
    parser.add_argument("--data", type=pathlib.Path, default=jsb.PATH, help=jsb.SOURCE)
    args = parser.parse_args()
    chorales, valid, _ = jsb.load(args.data)
    for settings in CANDIDATES:
        for name in args.cells:
            began = time.perf_counter()
            _, best, _ = train(name, settings, args.steps, chorales, valid, seed=0)
            seconds = time.perf_counter() - began
            print(f"{name:5} {best.loss:.3f}, {seconds:.0f} s, {settings}", flush=True)


if __name__ == "__main__":
    main()
