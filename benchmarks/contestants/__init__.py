"""Who takes part: a name, the file that knows how to run it, and the package it needs."""

from typing import NamedTuple


class Contestant(NamedTuple):
    """A framework, in one way of using it.

    module: a file of this folder, with `task(workload) -> Task`; package: what is imported, for the
    import time; only: the kinds of work it is there for, `()` for all.
    """

    name: str
    module: str
    package: str
    only: tuple[str, ...] = ()


JAXNN, DEVICES, TORCH, JAX = "jaxnn", "jaxnn, a device a core", "torch", "jax itself"
LINEN, KERAS = "flax.linen", "keras"
MEMAX, MEMORAX = "memax", "memorax"
OURS = (JAXNN, DEVICES)
PEERS = (LINEN, "flax.nnx", "haiku", "equinox", KERAS)
"""The JAX libraries that jaxnn is compared with; each can be the best one."""
ABLATED = ("late outputs", "fewest arrays", "one stream", "the rule")
"""What `python -m benchmarks.ablation` takes out of jaxnn, each by itself."""

CONTESTANTS = {
    contestant.name: contestant
    for contestant in (
        Contestant(JAXNN, "with_jaxnn", "jaxnn"),
        Contestant(DEVICES, "with_devices", "jaxnn"),
        Contestant(TORCH, "with_torch", "torch"),
        Contestant(LINEN, "with_flax_linen", "flax.linen"),
        Contestant("flax.nnx", "with_flax_nnx", "flax.nnx"),
        Contestant("haiku", "with_haiku", "haiku"),
        Contestant("equinox", "with_equinox", "equinox"),
        Contestant(KERAS, "with_keras", "keras"),
        Contestant(MEMAX, "with_memax", "memax", only=("linear cells",)),
        Contestant(MEMORAX, "with_memorax", "memorax", only=("linear cells",)),
        Contestant(JAX, "with_jax", "jax", only=("matmul", "import")),
        Contestant(ABLATED[0], "without_late", "jaxnn", only=("ablation",)),
        Contestant(ABLATED[1], "without_fewest", "jaxnn", only=("ablation",)),
        Contestant(ABLATED[2], "without_one_stream", "jaxnn", only=("ablation",)),
        Contestant(ABLATED[3], "without_rule", "jaxnn", only=("ablation",)),
    )
}


def contestants_for(kind: str) -> list[str]:
    """Who is asked for a kind of work; the machine's matmul rate needs no peer."""
    return [
        contestant.name
        for contestant in CONTESTANTS.values()
        if (kind in contestant.only if contestant.only else kind != "matmul")
    ]
