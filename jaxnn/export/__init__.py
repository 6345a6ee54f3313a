"""A trained model as one file, which runs where jax runs, without the code that made it."""

from jaxnn.export.load import Shipped as Shipped, load as load
from jaxnn.export.save import save as save
from jaxnn.export.summary import info as info
