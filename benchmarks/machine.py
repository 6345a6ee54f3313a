"""What the numbers were measured on: the machine, the versions and the settings."""

import importlib.metadata
import os
import platform
from pathlib import Path

DISTRIBUTIONS = (
    "jaxnn-cells",
    "jax",
    "jaxlib",
    "numpy",
    "optax",
    "torch",
    "flax",
    "dm-haiku",
    "equinox",
    "keras",
    "memax",
    "memorax",
)
FIXED = {
    "JAX_PLATFORMS": "cpu",
    "JAX_ENABLE_X64": "0",
    "JAX_ENABLE_COMPILATION_CACHE": "0",
    "KERAS_BACKEND": "jax",
}
"""Set for every worker."""
INHERITED = (
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "MALLOC_ARENA_MAX",
    "LD_PRELOAD",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "XLA_FLAGS",
)
"""Handed down to every worker as they are, and told: they change the numbers."""


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def worker_environment() -> dict[str, str]:
    """The same for every contestant."""
    return {**os.environ, **FIXED}


def describe_machine() -> dict[str, dict[str, str]]:
    """All that is worth knowing beside the numbers, in three groups."""
    return {
        "machine": {
            "cpu": cpu_model(),
            "cores": str(cores()),
            "system": platform.platform(),
            "python": platform.python_version(),
            "libc": " ".join(platform.libc_ver()),
        },
        "versions": {name: version(name) for name in DISTRIBUTIONS},
        "settings": FIXED | {name: os.environ.get(name, "not set") for name in INHERITED},
    }


def load_average() -> list[float]:
    """Over 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]
