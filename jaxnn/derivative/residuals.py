"""Which arrays of a step to keep for the backward pass, so that they are fewest: a minimum cut.

A backward pass reads coefficients, which are computed from what the forward pass had at hand. Every
variable on the way may be a residual, at the price of its bytes, or be computed again from others
that are. The cheapest set that leaves no way open, from the inputs of a step to its outputs, is
what a maximum flow fills (Ford & Fulkerson 1956).
"""

import itertools
import math
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import Any

from jax.extend.core import Jaxpr, Literal, Var

from jaxnn.derivative.jaxprs import Atom, adds_up, depending, is_in, read, run_eqn
from jaxnn.types import Array

_FROM, _TO = "from", "to"


def fewest_residuals(
    jaxpr: Jaxpr, inputs: Sequence[Var], outputs: Iterable[Atom], stored: Iterable[Var]
) -> list[Var]:
    """The variables to keep, in the order in which they come up.

    Of equally cheap sets it is the one nearest to the outputs, with the least to compute again.

    Args:
      jaxpr: of a pointwise step, whose arrays have as many entries.
      inputs: its variables that are unknown before the step.
      outputs: those of its variables that are to be computed again.
      stored: those that are stored for another reason, and cost nothing.
    """
    unknown, free = depending(jaxpr, inputs), set(stored)
    room: defaultdict[Any, dict[Any, float]] = defaultdict(dict)

    def connect(a: Any, b: Any, capacity: float) -> None:
        room[a][b] = capacity
        room[b].setdefault(a, 0)

    for var in unknown:
        kind: Any = var.aval
        connect((var, 0), (var, 1), 0 if var in free else kind.dtype.itemsize)
    for var in inputs:
        connect(_FROM, (var, 0), math.inf)
    for eqn in jaxpr.eqns:
        again = not adds_up(eqn)  # which is too dear to be done twice
        for atom, out in itertools.product(eqn.invars, eqn.outvars):
            if is_in(unknown, atom):
                connect((atom, 1) if again else _FROM, (out, 0), math.inf)
    for atom in outputs:
        if is_in(unknown, atom):
            connect((atom, 1), _TO, math.inf)
    while path := _path(room):
        flow = min(room[a][b] for a, b in path)
        for a, b in path:
            room[a][b] -= flow
            room[b][a] += flow
    reaching, ahead = {_TO}, deque([_TO])
    while ahead:
        b = ahead.popleft()
        found = [a for a in room[b] if a not in reaching and room[a][b] > 0]
        reaching.update(found)
        ahead.extend(found)
    ordered = [*inputs, *itertools.chain.from_iterable(eqn.outvars for eqn in jaxpr.eqns)]
    return [var for var in ordered if (var, 1) in reaching and (var, 0) not in reaching]


def _path(room: dict[Any, dict[Any, float]]) -> list[tuple[Any, Any]]:
    """A shortest way that has room, edge by edge."""
    came: dict[Any, Any] = {_FROM: None}
    ahead = deque([_FROM])
    while ahead and _TO not in came:
        a = ahead.popleft()
        found = [b for b, left in room[a].items() if left > 0 and b not in came]
        came |= dict.fromkeys(found, a)
        ahead.extend(found)
    edges, b = [], _TO if _TO in came else _FROM
    while b != _FROM:
        edges.append((came[b], b))
        b = came[b]
    return edges


def compute(jaxpr: Jaxpr, known: dict[Var, Array], outputs: Sequence[Atom]) -> list[Array]:
    """The values of some variables of a jaxpr, from those of others, by the equations they need."""
    env, equations = dict(known), []
    needed = {atom for atom in outputs if not isinstance(atom, Literal)} - env.keys()
    for eqn in reversed(jaxpr.eqns):
        if needed.intersection(eqn.outvars):
            equations.append(eqn)
            atoms = {atom for atom in eqn.invars if not isinstance(atom, Literal)}
            needed |= atoms - env.keys()
    for eqn in reversed(equations):
        env |= zip(eqn.outvars, run_eqn(eqn, read(env, eqn.invars)), strict=True)
    return read(env, outputs)
