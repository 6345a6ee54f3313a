"""Forecasts with intervals: one LSTM for all series of a panel, beside one model a series.

The network of `deep_forecast.py`, after DeepAR, gives the distribution of the next value, and paths
drawn from it those of all values ahead. It is trained once on what precedes the test; statsmodels'
ETS, Theta and ARIMA, and the naive forecasts, are fitted anew to each series at each origin.
--validate leaves the test away and measures on what is before it: so the size of the network and
its training were chosen, and whether a baseline forecasts values or their logarithms.
"""

import operator
import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import command_line
import deep_forecast as deep
import drawing
import jax
import numpy as np
import panels
import spread
from ensemble import keys
from forecast_baselines import METHODS, quantiles
from forecast_scores import QUANTILES, Scores, naive_scales, scores

BLUE, ORANGE = spread.COLORS[:2]
TOGETHER = "networks together"
DIGITS = 3, 3, 4, 2, 2  # of each score


class Setting(NamedTuple):
    """A panel, how its network is trained, and which baselines forecast logarithms of it."""

    load: Callable[[pathlib.Path], panels.Panel]
    hidden: int
    dropout: float
    steps: int
    length: int
    logs: tuple[str, ...]
    shown: tuple[int, ...]


SETTINGS = {
    "yearly": Setting(panels.yearly, 16, 0.1, 150, 60, (), (0, 60)),
    "monthly": Setting(panels.monthly, 16, 0.3, 100, 40, tuple(METHODS), (0, 3)),
    "made": Setting(lambda folder: panels.made(), 16, 0.0, 250, 40, tuple(METHODS), (0, 1)),
}


def network_quantiles(panel: panels.Panel, setting: Setting, args: Any) -> np.ndarray:
    """Quantiles `(seeds + 1, forecasts, ahead, QUANTILES)`: of each seed's network, then of the
    paths of all of them together."""
    season, known = panel.season, panel.known()
    scale = deep.scale_of(known, season)
    past = deep.past(known, season, scale)
    model = deep.network(season, setting.hidden, setting.dropout)
    train = deep.training(model, past, args.steps or setting.steps, setting.length)
    params, _ = train(keys(args.seed, args.seeds))
    origins, paths = deep.past(panel.forecasts()[0], season, scale), deep.sampler(model, season)
    drawn = []
    for k, key in enumerate(keys(args.seed, args.seeds)):
        one = jax.tree.map(operator.itemgetter(k), params)
        drawn.append(np.asarray(paths(one, origins, panel.ahead, args.paths, key), float))
    together = [*drawn, np.concatenate(drawn)]
    return np.array([np.quantile(each, QUANTILES, axis=0).transpose(2, 1, 0) for each in together])


def show(name: str, each: list[Scores]) -> None:
    """A line of the table: the scores, of several seeds their mean and range."""
    found = np.array(each)
    low, high = found.min(axis=0), found.max(axis=0)
    texts = [
        f"{mean:.{digits}f}"
        + (f" ({least:.{digits}f} to {most:.{digits}f})" if len(each) > 1 else "")
        for mean, least, most, digits in zip(found.mean(axis=0), low, high, DIGITS, strict=True)
    ]
    print(" | ".join([name, *texts]), flush=True)


def draw(axes: Any, panel: panels.Panel, found: dict[str, np.ndarray], shown: Any) -> None:
    """Two forecasts with intervals, and how often values fall below each quantile."""
    histories, truth = panel.forecasts()
    for panel_axes, series in zip(axes[:2], shown, strict=True):
        k = (series + 1) * panel.origins - 1  # the last origin of this series
        start = len(histories[k])
        past = np.arange(max(0, start - 4 * panel.ahead), start)
        ahead = np.arange(start, start + panel.ahead)
        panel_axes.plot(past, histories[k][past], color="black", label="known")
        panel_axes.plot(ahead, truth[k], "k.", label="what came")
        for name, color in ((TOGETHER, BLUE), ("ETS", ORANGE)):
            if name in found:
                low, middle, high = (found[name][k, :, QUANTILES.index(q)] for q in (0.1, 0.5, 0.9))
                panel_axes.plot(ahead, middle, color=color, label=f"{name}: median and 80 %")
                panel_axes.fill_between(ahead, low, high, color=color, alpha=0.25, linewidth=0)
        panel_axes.set(title=f"{panel.title}: {panel.names[series]}", xlabel="step")
    axes[0].legend(frameon=False, fontsize=8)
    axes[2].plot([0, 1], [0, 1], ":", color="black")
    for (name, each), color in zip(found.items(), spread.COLORS, strict=False):
        below = (truth[..., None] <= each).mean(axis=(0, 1))
        axes[2].plot(QUANTILES, below, "o-", color=color, markersize=3, label=name)
    axes[2].set(title="share of values below each quantile", xlabel="quantile", xlim=(0, 1))
    axes[2].legend(frameon=False, fontsize=8)


def main() -> None:
    """Each panel: the scores of every method, and the picture."""
    parser = command_line.parser(__doc__)
    parser.add_argument("--seeds", type=command_line.positive, default=5, help="networks trained")
    parser.add_argument("--panels", nargs="+", choices=SETTINGS, default=["yearly", "monthly"])
    parser.add_argument("--baselines", nargs="*", choices=list(METHODS), default=list(METHODS))
    parser.add_argument(
        "--steps", type=command_line.positive, help="updates, if not the chosen ones"
    )
    parser.add_argument(
        "--paths", type=command_line.positive, default=500, help="drawn by a network"
    )
    parser.add_argument(
        "--wheels", type=pathlib.Path, default="results/wheels", help="folder with the wheels"
    )
    parser.add_argument("--validate", action="store_true", help="measure on what precedes the test")
    args = parser.parse_args()
    if args.baselines:
        command_line.need("scipy", "statsmodels")
    figure, axes = drawing.panels(3, rows=len(args.panels))
    for row, name in enumerate(args.panels):
        began, setting = time.perf_counter(), SETTINGS[name]
        panel = setting.load(args.wheels)
        panel = panel.before_test() if args.validate else panel
        histories, truth = panel.forecasts()
        scale = np.repeat(naive_scales(panel.known(), panel.season), panel.origins)
        print(f"{panel.title}: {len(panel.series)} series, {len(truth)} forecasts")
        print("method | " + " | ".join(Scores._fields))
        *each, together = network_quantiles(panel, setting, args)
        show("network", [scores(one, truth, scale) for one in each])
        found = {TOGETHER: together}
        for method in args.baselines:
            logs = method in setting.logs
            found[method] = quantiles(method, histories, panel.season, panel.ahead, logs)
        for method, one in found.items():
            show(method, [scores(one, truth, scale)])
        print(f"{time.perf_counter() - began:.0f} s")
        draw(axes[3 * row : 3 * row + 3], panel, found, setting.shown)
    drawing.save(figure, args.out / "probabilistic_forecast.png")


if __name__ == "__main__":
    main()
