"""jaxnn by the plain scan and JAX's own derivative of it."""

from benchmarks.contestants.with_jaxnn import task as task
from jaxnn.recurrence import methods
from jaxnn.transforms import bidirectional

methods.METHODS = bidirectional.IN_ONE_PIECE = (methods.SEQUENTIAL,)
