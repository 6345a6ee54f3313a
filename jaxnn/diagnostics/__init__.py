"""Looking inside of a recurrence: its gates, its Jacobians and what follows, and how it runs."""

from jaxnn.diagnostics.distances import gradient_norms as gradient_norms
from jaxnn.diagnostics.equilibria import FixedPoints as FixedPoints, fixed_points as fixed_points
from jaxnn.diagnostics.explanation import Explanation as Explanation, explain as explain
from jaxnn.diagnostics.gate_values import gates as gates
from jaxnn.diagnostics.jacobian import (
    StepOperator as StepOperator,
    step_jacobian as step_jacobian,
    step_operator as step_operator,
)
from jaxnn.diagnostics.lyapunov import (
    LyapunovExponents as LyapunovExponents,
    lyapunov_exponents as lyapunov_exponents,
)
from jaxnn.diagnostics.saturation import (
    GateSaturation as GateSaturation,
    gate_saturation as gate_saturation,
)
from jaxnn.diagnostics.singular_values import gap_singular_values as gap_singular_values
