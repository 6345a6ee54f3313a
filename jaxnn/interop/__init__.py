"""Weights from and to other libraries, a module each, imported on demand.

`import jaxnn.interop.torch` imports no torch: what goes in and out are arrays by name.
"""

from jaxnn.interop.batch_norm import fold_batch_norm as fold_batch_norm
from jaxnn.interop.states import from_states as from_states, to_states as to_states
