"""Where a recurrence stands still, and how it moves nearby.

Source: Sussillo & Barak 2013, "Opening the black box", Neural Computation 25 (they minimise
½ |F(h) − h|² by a second-order method, as here).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.types import Array


def fixed_points(
    step: Callable[[Array], Array],
    starts: Array,
    iterations: int = 200,
    tolerance: float = 1e-5,
    apart: float = 0.1,
) -> np.ndarray:
    """The different h with step(h) = h that are found from these starts, by Levenberg–Marquardt.

    Args:
      step: from a state `(units,)` to the next one, the input being held.
      starts: where to look from, `(starts, units)`.
      iterations: of the search.
      tolerance: the largest |step(h) − h| of a fixed point.
      apart: two that are nearer than this are one.

    Returns:
      `(points, units)`, the ones that most starts lead to first; there may be none.

    >>> halves = fixed_points(lambda h: h - 0.1 * (h**3 - h), jnp.array([[0.2], [0.9], [-2.0]]))
    >>> sorted(halves[:, 0].round(3).tolist())
    [-1.0, 0.0, 1.0]
    """

    def rest(h: Array) -> Array:
        return step(h) - h

    def improve(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        h, damping = carry
        r, jacobian = rest(h), jax.jacfwd(rest)(h)
        normal = jacobian.T @ jacobian + damping * jnp.eye(h.size, dtype=h.dtype)
        tried = h - jnp.linalg.solve(normal, jacobian.T @ r)
        better = jnp.sum(rest(tried) ** 2) < jnp.sum(r**2)
        return (jnp.where(better, tried, h), damping * jnp.where(better, 0.3, 3.0)), None

    @jax.jit
    @jax.vmap
    def search(h: Array) -> tuple[Array, Array]:
        (h, _), _ = jax.lax.scan(improve, (h, jnp.full((), 0.01, h.dtype)), length=iterations)
        return h, jnp.linalg.norm(rest(h))

    ends, residues = (np.asarray(found) for found in search(starts))
    ends = ends[residues < tolerance]
    points: list[np.ndarray] = []
    counts: list[int] = []
    for end in ends:
        distances = [float(np.linalg.norm(end - point)) for point in points]
        if distances and min(distances) < apart:
            counts[int(np.argmin(distances))] += 1
        else:
            points.append(end)
            counts.append(1)
    order = np.argsort(counts)[::-1]
    return np.array(points).reshape(-1, starts.shape[1])[order]


def eigenvalues(step: Callable[[Array], Array], points: np.ndarray) -> np.ndarray:
    """Those of the step's Jacobian at each point, the largest modulus first, `(points, units)`.

    All inside the unit circle: the point attracts. One outside: the state leaves along its vector.

    >>> eigenvalues(lambda h: jnp.array([0.5, 2.0]) * h, np.zeros((1, 2))).real.tolist()
    [[2.0, 0.5]]
    """
    jacobians = jax.jit(jax.vmap(jax.jacfwd(step)))(jnp.asarray(points))
    values = np.linalg.eigvals(np.asarray(jacobians))
    return np.take_along_axis(values, np.argsort(-abs(values), axis=-1), axis=-1)


class Portrait(NamedTuple):
    """The eigenvalues at a network's fixed points, `(points, units)`; and in the plane in which its
    states vary most the points `(points, 2)` and the ways it went `(time, trials, 2)`."""

    eigenvalues: np.ndarray
    points: np.ndarray
    ways: np.ndarray


def portrait(step: Callable[[Array], Array], states: Array) -> Portrait:
    """Search from the states that trials went through, `(time, trials, units)`."""
    units = states.shape[-1]
    points = fixed_points(step, states[:: max(1, len(states) // 8)].reshape(-1, units))
    ways = np.asarray(states)
    centre = ways.mean(axis=(0, 1))
    directions = np.linalg.svd((ways - centre).reshape(-1, units), full_matrices=False)[2]
    plane = directions[:2].T
    return Portrait(eigenvalues(step, points), (points - centre) @ plane, (ways - centre) @ plane)


def draw_portrait(plane: Any, circle: Any, seen: Portrait, colors: Sequence[str]) -> None:
    """The ways, a colour for each, and the points in one picture; the eigenvalues in the other."""
    for way, color in zip(seen.ways.swapaxes(0, 1), colors, strict=True):
        plane.plot(*way.T, color=color, alpha=0.5, linewidth=0.8)
    attracts = np.abs(seen.eigenvalues[:, 0]) < 1
    for flags, face, name in ((attracts, "black", "attracts"), (~attracts, "white", "repels")):
        plane.plot(*seen.points[flags].T, "ko", mfc=face, ms=9, label=f"fixed point that {name}")
        values = seen.eigenvalues[flags].ravel()
        circle.plot(
            np.real(values), np.imag(values), "ko", mfc=face, ms=5, label=f"at one that {name}"
        )
    angle = np.linspace(-np.pi, np.pi, 400)
    circle.plot(np.cos(angle), np.sin(angle), color="grey", linewidth=0.8)
    plane.set(xlabel="principal component 1", ylabel="principal component 2")
    circle.set(xlabel="real part", ylabel="imaginary part", aspect="equal")
    if seen.eigenvalues.size:
        reach = max(0.2, 1.2 * float(np.abs(np.imag(seen.eigenvalues)).max()))
        left = min(0.5, float(np.real(seen.eigenvalues).min()) - 0.1)
        circle.set(xlim=(left, 1.15), ylim=(-reach, reach))
    circle.set_title("eigenvalues of the step's Jacobian at the points")
    for axes in (plane, circle):
        axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
