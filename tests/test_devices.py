"""Many devices, each in processes of their own: eight in one, and two that talk to each other."""

import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import optax
import pytest
import two_processes

import jaxnn

HERE = pathlib.Path(__file__).parent


def environment(**more: str) -> dict[str, str]:
    """Ours, without what belongs to this session and its devices."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JAX_", "XLA_"))}
    path = os.pathsep.join(filter(None, [str(HERE.parent), os.environ.get("PYTHONPATH")]))
    return kept | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": path} | more


def run(commands: Sequence[Sequence[str]], seconds: float = 180, **more: str) -> list[str]:
    """What each program prints, run side by side; raise where one fails or takes too long."""
    running = [
        subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(**more),
            cwd=HERE,
        )
        for command in commands
    ]
    try:
        printed = [process.communicate(timeout=seconds)[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    for process, text in zip(running, printed, strict=True):
        assert process.returncode == 0, text
    return printed


@pytest.mark.parametrize("file", sorted(path.name for path in HERE.glob("eight_devices*.py")))
def test_eight_devices(file: str) -> None:
    """The laws of the train step on a mesh, and of cells."""
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", file]
    (printed,) = run([tests], 900, JAX_NUM_CPU_DEVICES="8")
    assert " passed" in printed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_law_two_processes_are_one(tmp_path: pathlib.Path) -> None:
    """Each has half of every batch, and both end where one with all of it does."""
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    port = str(free_port())
    run([["two_processes.py", port, str(n), str(path)] for n, path in enumerate(paths)])
    want = jax.tree.leaves(two_processes.train(None, lambda batch: batch))
    for path in paths:
        with np.load(path) as got:
            for a, b in zip(got.values(), want, strict=True):
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)


FRESH = """
import jaxnn
mesh = jaxnn.training.cpu_mesh({})
print(mesh.size, mesh.axis_names, jaxnn.training.cpu_mesh({}) == mesh)
"""


def test_one_device_per_core() -> None:
    """Before the first use of jax, and once more after it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    printed = run([["-c", FRESH.format(*[count] * 2)] for count in ("", "3")])
    assert [text.strip() for text in printed] == [f"{cores} ('batch',) True", "3 ('batch',) True"]


@pytest.mark.parametrize("cores", ["2", 2.5, True, [1], 0, -1, 10**9, 2**70])
def test_no_number_of_cores(cores: Any) -> None:
    """A billion devices would keep JAX busy for ever."""
    error = ValueError if type(cores) is int else TypeError
    with pytest.raises(error, match=r"^cpu_mesh: cores must be"):
        jaxnn.training.cpu_mesh(cores)


def test_without_a_mesh_an_axis_is_not_used() -> None:
    """So that the same call serves one device and many."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del key
        return ((params - batch) ** 2).sum(), 1.0, state

    step = jaxnn.training.train_step(loss, optax.sgd(0.1), None, batch_axis=5)
    first = jaxnn.training.train_state(np.ones(2, np.float32), optax.sgd(0.1), jax.random.key(0))
    assert bool(step(first, np.zeros(2, np.float32))[1].finite)
