"""How `decode` takes the next token from logits."""

from jaxnn.decoding.sampling import (
    Categorical as Categorical,
    categorical as categorical,
    greedy as greedy,
)
