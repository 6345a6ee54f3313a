"""The process of one contestant: JSON lines in, JSON lines out.

The first line names the contestant and the workload; the answer says that it is built, or why not.
Then `{"seconds": s}` asks how many calls fill so long, and `{"calls": n}` for the mean of n calls.
"""

import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from typing import Any

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.contestants.task import NotPossible, Task
from benchmarks.workloads import Workload


def import_task(contestant: Contestant) -> Task:
    """Nothing of the contestant may be imported before this is measured."""

    def measure(calls: int) -> float:
        start = time.perf_counter()
        importlib.import_module(contestant.package)
        return time.perf_counter() - start

    return Task(measure)


def build(contestant: Contestant, workload: Workload) -> tuple[Task, dict[str, Any]]:
    """The task, warmed up and checked unless it can be measured only once."""
    if workload.kind == "import":
        return import_task(contestant), {}
    module = importlib.import_module(f"benchmarks.contestants.{contestant.module}")
    task: Task = module.task(workload)
    if not workload.fresh:
        task.measure(1)
    return task, task.check()


def calibrate(task: Task, seconds: float) -> int:
    """How many calls fill so many seconds, from a short try and a longer one."""
    calls = 1
    for share in (0.1, 0.5, 1.0):
        calls = max(1, round(share * seconds / task.measure(calls)))
    return calls


def answer(task: Task, request: dict[str, Any], fresh: bool) -> dict[str, Any]:
    if "seconds" in request:
        return {"calls": calibrate(task, request["seconds"])}
    if not fresh:
        task.measure(1)  # the caches are still full of who was asked before
    return {"value": task.measure(request["calls"])}


def first_answer(contestant: Contestant, workload: Workload) -> tuple[Task | None, dict[str, Any]]:
    """The task and what is worth noting about it, or why there is none."""
    root = contestant.package.partition(".")[0]
    try:
        if importlib.util.find_spec(root) is None:
            return None, {"missing": f"not installed: {root}"}
        task, facts = build(contestant, workload)
        return task, {"facts": facts}
    except NotPossible as reason:
        return None, {"missing": f"not possible: {reason}"}


def main() -> None:
    # Frameworks print what they like; the answers go where nothing else is printed.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", buffering=1)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    task: Task | None = None
    workload: Workload | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if workload is None:
                workload = Workload(**request["workload"])
                task, reply = first_answer(CONTESTANTS[request["contestant"]], workload)
            elif task is None:
                reply = {"missing": "failed: there is no task"}
            else:
                reply = answer(task, request, workload.fresh)
        except Exception as error:
            traceback.print_exc()
            reply = {"missing": f"failed: {type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers)


if __name__ == "__main__":
    main()
