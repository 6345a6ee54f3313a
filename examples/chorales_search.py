"""How the hyperparameters of chorales.py were chosen: the same candidates for each of the three
cells, one training each, and the lowest validation loss. The test set is not touched.
"""

import argparse
import pathlib
import time

import command_line
from chorales import MAKE, Settings, load, train

CANDIDATES = [
    Settings(learning_rate=5e-3, input_dropout=0.3, output_dropout=0.3),
    Settings(learning_rate=1e-2, input_dropout=0.2, output_dropout=0.3),
    Settings(learning_rate=2e-3, input_dropout=0.2, output_dropout=0.5),
    Settings(learning_rate=1e-3, input_dropout=0.3, output_dropout=0.5),
    Settings(learning_rate=5e-3, input_dropout=0.4, output_dropout=0.5),
]


def main() -> None:
    """Every candidate, one line each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cells", nargs="+", choices=MAKE, default=list(MAKE))
    parser.add_argument("--seed", type=command_line.seed, default=0)
    parser.add_argument(
        "--data", type=pathlib.Path, default=command_line.data_folder() / "JSB_Chorales.mat"
    )
    args = parser.parse_args()
    chorales, valid, _ = load(args.data)
    for settings in CANDIDATES:
        for name in args.cells:
            began = time.perf_counter()
            _, _, result = train(name, settings, chorales, valid, args.seed, progress=False)
            lowest, step = min((value, step) for step, value in result.history.evaluations)
            seconds = time.perf_counter() - began
            print(f"{name:5} {lowest:.3f} at step {step}, {seconds:.0f} s, {settings}", flush=True)


if __name__ == "__main__":
    main()
