"""How the hyperparameters of chorales.py were chosen: the same candidates for each of the three
cells, one training each, and the lowest validation loss. The test set is not touched.
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
    parser.add_argument("--cells", nargs="+", choices=MAKE, default=list(MAKE))
    parser.add_argument("--steps", type=command_line.positive, default=800)
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
