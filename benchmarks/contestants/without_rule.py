"""jaxnn by the plain scan and JAX's own derivative of it."""

from benchmarks.contestants.with_jaxnn import task as task
from jaxnn.recurrence import methods

methods.METHODS = methods.IN_ONE_PIECE = (methods.SEQUENTIAL,)
