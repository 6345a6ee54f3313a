"""A network's fixed points, and the ways that it went, in one picture.

Source: Sussillo & Barak 2013, "Opening the black box", Neural Computation 25.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

import jaxnn
import jaxnn.plot
from jaxnn.types import Array

APART = 0.1  # two ends of searches that are nearer are one point


class Portrait(NamedTuple):
    """The eigenvalues at a network's fixed points, `(points, units)`; and in the plane in which its
    states vary most the points `(points, 2)` and the ways it went `(time, trials, 2)`."""

    eigenvalues: np.ndarray
    points: np.ndarray
    ways: np.ndarray


def portrait(cell: jaxnn.Cell, params: Any, states: Array, x: Array) -> Portrait:
    """Search from the states `(time, trials, units)` that trials went through; x is held.

    >>> import jax
    >>> turn = jaxnn.cell(
    ...     init=lambda key: 0.9 * jax.numpy.array([[0.0, 1.0], [-1.0, 0.0]]),
    ...     apply=lambda kernel, h, x: (h @ kernel + x, h),
    ...     initial_state=lambda kernel, batch_shape=(): jax.numpy.zeros((*batch_shape, 2)),
    ... )
    >>> kernel = turn.init(jax.random.key(0))
    >>> states = jax.random.normal(jax.random.key(1), (20, 3, 2))
    >>> seen = portrait(turn, kernel, states, jax.numpy.zeros(2))
    >>> abs(seen.eigenvalues).astype(float).round(3).tolist()
    [[0.9, 0.9]]
    """
    units = states.shape[-1]
    starts = states[:: max(1, len(states) // 8)].reshape(-1, units)
    found = jaxnn.diagnostics.fixed_points(cell, params, starts, x, apart=APART)
    count = int(found.distinct)
    points, ways = np.asarray(found.state[:count]), np.asarray(states)
    centre = ways.mean(axis=(0, 1))
    directions = np.linalg.svd((ways - centre).reshape(-1, units), full_matrices=False)[2]
    plane = directions[:2].T
    values = np.asarray(found.eigenvalues[:count])
    return Portrait(values, (points - centre) @ plane, (ways - centre) @ plane)


def draw_portrait(plane: Any, circle: Any, seen: Portrait, colors: Sequence[str]) -> None:
    """The ways, a colour for each, and the points in one picture; the eigenvalues in the other."""
    for way, color in zip(seen.ways.swapaxes(0, 1), colors, strict=True):
        plane.plot(*way.T, color=color, alpha=0.5, linewidth=0.8)
    attracts = np.abs(seen.eigenvalues[:, 0]) < 1
    kinds = {"attracts": attracts, "repels": ~attracts}
    for (name, flags), face in zip(kinds.items(), ("black", "white"), strict=True):
        plane.plot(*seen.points[flags].T, "ko", mfc=face, ms=9, label=f"fixed point that {name}")
    values = {f"at one that {name}": seen.eigenvalues[flags] for name, flags in kinds.items()}
    jaxnn.plot.eigenvalues(circle, values)
    plane.set(xlabel="principal component 1", ylabel="principal component 2")
    if seen.eigenvalues.size:
        reach = max(0.2, 1.2 * float(np.abs(np.imag(seen.eigenvalues)).max()))
        left = min(0.5, float(np.real(seen.eigenvalues).min()) - 0.1)
        circle.set(xlim=(left, 1.15), ylim=(-reach, reach))
    circle.set_title("eigenvalues of the step's Jacobian at the points")
    plane.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
