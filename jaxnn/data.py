"""Batches of ragged sequences, with their masks, and the pieces of a long one."""

from jaxnn.training.batches import Batch as Batch, batches as batches, pad as pad
from jaxnn.training.by_number import by_number as by_number
from jaxnn.training.chunks import chunks as chunks
from jaxnn.training.time_since import elapsed as elapsed
