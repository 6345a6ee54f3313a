"""torch: torch.nn.LSTM, GRU and RNN on all cores."""

from typing import Any

import numpy as np
import torch

from benchmarks.contestants.task import NotPossible, Task, timed
from benchmarks.machine import cores
from benchmarks.workloads import Workload, check_output

RATE = 0.01
LAYERS: dict[str, Any] = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}
CELLS: dict[str, Any] = {
    "lstm": torch.nn.LSTMCell,
    "gru": torch.nn.GRUCell,
    "elman": torch.nn.RNNCell,
}


def data(workload: Workload) -> torch.Tensor:
    """The same numbers as for everybody, time-major, torch's default."""
    shape = workload.time, workload.batch, workload.input
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, np.float32))


def network(workload: Workload) -> torch.nn.Module:
    return LAYERS[workload.cell](
        workload.input,
        workload.hidden,
        num_layers=workload.layers,
        bidirectional=workload.bidirectional,
    )


def parameters(models: list[torch.nn.Module]) -> int:
    return sum(parameter.numel() for model in models for parameter in model.parameters())


def train_task(workload: Workload) -> Task:
    """An ensemble is a loop over modules: vmap refuses torch.nn.LSTM."""
    xs = data(workload)
    models = [network(workload) for _ in range(workload.members)]
    optimizer = torch.optim.SGD([p for model in models for p in model.parameters()], lr=RATE)

    def outputs() -> torch.Tensor:
        ys = [model(xs)[0] for model in models]
        return ys[0] if len(ys) == 1 else torch.stack(ys)

    def steps(calls: int) -> None:
        for _ in range(calls):
            optimizer.zero_grad()
            outputs().square().mean().backward()
            optimizer.step()

    def check() -> dict[str, Any]:
        with torch.no_grad():
            ys = outputs()
        loss = ys.square().mean().item()
        check_output(workload, ys.shape, loss)
        return {"loss": loss, "parameters": parameters(models)}

    return Task(timed(steps), check)


def forward_task(workload: Workload) -> Task:
    xs, model = data(workload), network(workload)
    ys = xs

    def calls_of(calls: int) -> None:
        nonlocal ys
        with torch.inference_mode():
            for _ in range(calls):
                ys = model(xs)[0]

    def check() -> dict[str, Any]:
        loss = ys.square().mean().item()
        check_output(workload, ys.shape, loss)
        return {"loss": loss, "parameters": parameters([model])}

    return Task(timed(calls_of), check)


def stream_task(workload: Workload) -> Task:
    x, cell = data(workload)[0], CELLS[workload.cell](workload.input, workload.hidden)
    state: Any = None

    def steps(calls: int) -> None:
        nonlocal state
        with torch.inference_mode():
            for _ in range(calls):
                state = cell(x, state)

    def check() -> dict[str, Any]:
        y = state[0] if isinstance(state, tuple) else state
        check_output(workload, (1, *y.shape), y.square().mean().item())
        return {"parameters": parameters([cell])}

    return Task(timed(steps), check)


def task(workload: Workload) -> Task:
    torch.set_num_threads(cores())
    torch.manual_seed(0)
    match workload.kind:
        case "train":
            return train_task(workload)
        case "forward":
            return forward_task(workload)
        case "stream":
            return stream_task(workload)
    raise NotPossible("torch runs eagerly: there is no program to compile or to look into")
