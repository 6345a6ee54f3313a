"""jaxnn that saves the coefficients of the backward pass themselves."""

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.contestants.with_jaxnn import task as task
from jaxnn.derivative import analysis
from jaxnn.derivative.jaxprs import depending, is_in


def every_output(
    jaxpr: Any, inputs: Sequence[Any], outputs: Iterable[Any], stored: Any
) -> list[Any]:
    unknown = depending(jaxpr, inputs)
    return list(dict.fromkeys(atom for atom in outputs if is_in(unknown, atom)))


analysis.fewest_residuals = every_output
