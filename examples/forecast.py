"""Twelve steps ahead: monthly CO2 and yearly sunspots, forecast by an ensemble of GRUs.

At every step the model gives the next twelve values, and is measured against seasonal-naive, the
value of one season ago, from every origin of the test years; it is trained on the years before
them. Ten members, which differ in their seeds alone, are trained at once by `jax.vmap`; their
median is the forecast. Both series come with statsmodels. --validate reports on the years before
the test instead: so it was chosen that the sunspots are forecast as square roots.
"""

import itertools
import time
from typing import Any

import command_line
import drawing
import early_stopping
import jax
import numpy as np
import optax
import series as data

import jaxnn
from jaxnn.types import Array, Cell, Key, Params, State

AHEAD = np.arange(1, 13)


def train(args: Any, model: Cell, xs: Array, targets: Array, train_mask: Any, valid: Any) -> Params:
    """The parameters of all members, where their validation loss was lowest."""
    init_key, key = jax.random.split(jax.random.key(args.seed))
    params = jax.vmap(model.init)(jax.random.split(init_key, args.members))
    schedule = optax.schedules.cosine_decay_schedule(5e-3, args.steps)
    optimizer = optax.adamw(schedule, weight_decay=0.1, mask=jaxnn.training.decay_mask)

    def one(params: Params, mask: Array, key: Key | None) -> tuple[Array, Array]:
        _, guesses = model.unroll(params, xs, key=key)
        return jaxnn.losses.mean_squared_error(guesses, targets, mask)

    def members(params: Params, mask: Any, keys: Any) -> tuple[Array, Array]:
        totals, weights = jax.vmap(one, (0, None, None if keys is None else 0))(params, mask, keys)
        return totals.sum(), weights.sum()

    def loss(params: Params, state: State, mask: Any, key: Key) -> Any:
        return *members(params, mask, jax.random.split(key, args.members)), state

    best = early_stopping.Best(jax.jit(lambda params: members(params, valid, None)))
    jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer),
        jaxnn.training.train_state(params, optimizer, key),
        itertools.repeat(train_mask),
        args.steps,
        best,
        evaluate_every=10,
    )
    return best.params


def forecasts(series: data.Series, args: Any) -> tuple[np.ndarray, ...]:
    """Of each origin of the test: its place, and `(…, 12)`: what came, seasonal-naive, the same
    with the growth of the last season, and, of each member, the forecast."""
    season = series.season
    values = np.sqrt(series.values) if series.root else series.values
    back = np.square if series.root else np.positive
    origins = np.arange(season, len(values))
    ahead, seasons = origins[:, None] + AHEAD, -(-AHEAD // season)
    truth = np.append(values, np.full(len(AHEAD), np.nan))[ahead]
    naive = values[ahead - season * seasons]
    now, grown = values[origins], values[origins] - values[origins - season]
    mean = np.convolve(values, np.full(season, 1 / season), "valid")[1:]
    base = naive if series.strict else np.repeat(mean[:, None], len(AHEAD), axis=1)

    # An origin belongs to the part in which all of its twelve steps lie.
    whole = np.isfinite(truth).all(axis=1)
    first, last = (series.times[np.minimum(ahead[:, k], len(values) - 1)] for k in (0, -1))
    train_mask = whole & (last < series.valid_from)
    valid = whole & (first >= series.valid_from) & (last < series.test_from)
    test = valid if args.validate else whole & (first >= series.test_from)

    inputs = np.stack([grown, now - values[origins - 1], now - mean], axis=-1)
    xs = (inputs / inputs[train_mask].std(axis=0)).astype(np.float32)
    scale = (truth - base)[train_mask].std()
    targets = np.nan_to_num((truth - base) / scale).astype(np.float32)
    model = jaxnn.stack(
        jaxnn.gru(xs.shape[-1], args.hidden),
        jaxnn.dropout(0.2),
        jaxnn.dense(args.hidden, len(AHEAD)),
    )
    params = train(args, model, xs, targets, train_mask, valid)
    # A cell does not look ahead: one run over the series is the forecast from every origin.
    _, corrections = jax.vmap(model.unroll, (0, None))(params, xs)
    members = np.maximum(base + scale * np.asarray(corrections, float), 0)
    naive, grown = back(naive), series.values[origins] - series.values[origins - season]
    drifting = naive + grown[:, None] * seasons
    return origins[test], back(truth[test]), naive[test], drifting[test], back(members[:, test])


def draw(axes: Any, series: data.Series, result: tuple[np.ndarray, ...]) -> None:
    """One forecast with the spread of its members, and the mean error of each step ahead."""
    left, right = axes
    origins, truth, naive, _, members = result
    at = len(origins) // 2
    past = slice(origins[at] - 3 * series.season, origins[at] + 1)
    times, middle = series.times[origins[at] + AHEAD], np.median(members, axis=0)
    errors = np.abs(members - truth).mean(axis=1)
    left.plot(series.times[past], series.values[past], color="black", label="known")
    left.plot(times, truth[at], "k.", label="what came")
    left.plot(times, naive[at], "--", color="tab:orange", label="seasonal-naive")
    left.plot(times, middle[at], color="tab:blue", label="GRUs: median and all")
    right.plot(AHEAD, np.abs(naive - truth).mean(axis=0), "--", color="tab:orange")
    right.plot(AHEAD, np.abs(middle - truth).mean(axis=0), color="tab:blue")
    for panel, x, each in ((left, times, members[:, at]), (right, AHEAD, errors)):
        panel.fill_between(x, each.min(axis=0), each.max(axis=0), color="tab:blue", alpha=0.3, lw=0)
    left.set(title=series.title, xlabel="year")
    left.legend(frameon=False, fontsize=8)
    right.set(title=f"mean absolute error, {len(origins)} origins", xlabel="steps ahead")
    right.set_ylim(bottom=0)


def main() -> None:
    """Forecast both series, tell the errors, draw."""
    parser = command_line.parser(__doc__)
    parser.add_argument(
        "--steps", type=command_line.positive, default=600, help="updates of the parameters"
    )
    parser.add_argument("--hidden", type=command_line.positive, default=16, help="units of the GRU")
    parser.add_argument(
        "--members", type=command_line.positive, default=10, help="networks in the ensemble"
    )
    parser.add_argument(
        "--validate",
        action="store_true",
        help="measure on the validation years, not the test years",
    )
    args = parser.parse_args()
    figure, axes = drawing.panels(2, rows=2)
    for series, pair in zip(data.load(), (axes[:2], axes[2:]), strict=True):
        began = time.perf_counter()
        result = origins, truth, naive, drifting, members = forecasts(series, args)
        ours, seasonal, growing = (
            np.abs(guess - truth).mean() for guess in (np.median(members, 0), naive, drifting)
        )
        print(
            f"{series.title}: mean absolute error {ours:.3f}, seasonal-naive {seasonal:.3f}, with "
            f"the last season's growth {growing:.3f}; {len(origins)} origins, "
            f"{time.perf_counter() - began:.0f} s"
        )
        draw(pair, series, result)
    drawing.save(figure, args.out / "forecast.png")


if __name__ == "__main__":
    main()
