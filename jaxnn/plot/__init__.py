"""Pictures that people draw more than once; matplotlib is imported when one is drawn."""

from jaxnn.plot.gates import gate_activity as gate_activity, gate_saturation as gate_saturation
from jaxnn.plot.plane import eigenvalues as eigenvalues
from jaxnn.plot.through_time import (
    gradient_norm as gradient_norm,
    lyapunov_exponents as lyapunov_exponents,
    singular_values as singular_values,
)
from jaxnn.plot.training import (
    confusion_matrix as confusion_matrix,
    learning_curve as learning_curve,
)
