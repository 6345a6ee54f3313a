"""One workload, all contestants: each in a process of its own, asked in turn, round after round."""

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import cores, worker_environment
from benchmarks.ratios import Result
from benchmarks.workloads import Workload

Tell = Callable[[str], None]
ROOT = Path(__file__).resolve().parent.parent


class Worker(NamedTuple):
    """send: a request, as JSON; receive: the answer, or that there is none any more."""

    send: Callable[[dict[str, Any]], None]
    receive: Callable[[], dict[str, Any]]


@contextlib.contextmanager
def start(contestant: str, workload: Workload, root: Path = ROOT) -> Iterator[Worker]:
    """A process that has been asked to build the workload, by the checkout in a folder; it ends
    with the block."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            bufsize=1,
            env=worker_environment(),
            cwd=root,
        ) as process,
    ):
        requests, answers = process.stdin, process.stdout
        assert requests and answers

        def send(request: dict[str, Any]) -> None:
            with contextlib.suppress(BrokenPipeError):  # receive tells what happened
                print(json.dumps(request), file=requests)

        def receive() -> dict[str, Any]:
            line = answers.readline()
            if line:
                return json.loads(line)
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            return {"missing": f"failed: the process ended: {last}"}

        send({"contestant": contestant, "workload": workload._asdict()})
        try:
            yield Worker(send, receive)
        finally:
            with contextlib.suppress(BrokenPipeError):
                requests.close()


def ask(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    worker.send(request)
    return worker.receive()


def race(
    workload: Workload, contestants: list[str], rounds: int, seconds: float, tell: Tell
) -> dict[str, Result]:
    """What each contestant answered in each round, or why it did not."""
    run = race_fresh if workload.fresh else race_warm
    return run(workload, contestants, rounds, seconds, tell)


def race_warm(
    workload: Workload, contestants: list[str], rounds: int, seconds: float, tell: Tell
) -> dict[str, Result]:
    """All processes stay until the end; only one of them works at a time once they are built."""
    results, workers, calls = {}, {}, {}
    with contextlib.ExitStack() as stack:
        for first in range(0, len(contestants), cores()):  # as many at a time as there are cores
            names = contestants[first : first + cores()]
            tell(f"building {', '.join(names)}")
            workers |= {name: stack.enter_context(start(name, workload)) for name in names}
            results |= {name: noted(workers[name].receive()) for name in names}
        for name in present(results):
            reply = ask(workers[name], {"seconds": seconds})
            results[name] = kept(results[name], reply)
            calls[name] = reply.get("calls")
        for number in range(rounds):
            tell(f"round {number + 1} of {rounds}")
            for name in in_turn(present(results), number):
                reply = ask(workers[name], {"calls": calls[name]})
                results[name] = kept(results[name], reply)
    return results


def race_fresh(
    workload: Workload, contestants: list[str], rounds: int, seconds: float, tell: Tell
) -> dict[str, Result]:
    """A new process each time: what is measured happens once in a process."""
    results = {name: Result() for name in contestants}
    rounds = 1 if workload.kind == "gradient memory" else rounds  # it does not vary
    for number in range(rounds):
        tell(f"round {number + 1} of {rounds}")
        for name in in_turn(present(results), number):
            with start(name, workload) as worker:
                first = noted(worker.receive())
                results[name] = results[name]._replace(missing=first.missing, facts=first.facts)
                if not first.missing:
                    results[name] = kept(results[name], ask(worker, {"calls": 1}))
    return results


def in_turn(names: list[str], number: int) -> list[str]:
    """Every other round goes backwards, so that nobody always follows the same neighbour."""
    return names[::-1] if number % 2 else names


def present(results: dict[str, Result]) -> list[str]:
    return [name for name, result in results.items() if not result.missing]


def noted(reply: dict[str, Any]) -> Result:
    """The first answer."""
    return Result((), reply.get("missing", ""), reply.get("facts", {}))


def kept(result: Result, reply: dict[str, Any]) -> Result:
    """A result, and one more answer."""
    if "missing" in reply:
        return result._replace(rounds=(), missing=reply["missing"])
    if "calls" in reply:
        return result._replace(facts=result.facts | {"calls": reply["calls"]})
    return result._replace(rounds=(*result.rounds, reply["value"]))
