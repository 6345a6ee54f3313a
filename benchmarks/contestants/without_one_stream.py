"""jaxnn whose gates have a stream of tangents each."""

from typing import Any

from benchmarks.contestants.with_jaxnn import task as task
from jaxnn.derivative import rule


def always(x: Any) -> bool:
    return True


rule.on_mesh = always
