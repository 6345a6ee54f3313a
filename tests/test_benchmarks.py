"""The benchmarks: their arithmetic on made-up numbers, and one contestant on a tiny shape."""

import json
import math
from pathlib import Path

import pytest

from benchmarks import long_memory
from benchmarks.__main__ import as_json
from benchmarks.contestants import (
    CONTESTANTS,
    DEVICES,
    JAX,
    JAXNN,
    KERAS,
    LINEN,
    PEERS,
    TORCH,
    Contestant,
)
from benchmarks.goals import EACH, MEAN, Goal, outcome
from benchmarks.race import race
from benchmarks.ratios import (
    Result,
    best,
    geometric_mean,
    ratio_by_round,
    ratio_of_medians,
)
from benchmarks.report import families, family_table, number, share_table, shares
from benchmarks.summary import table
from benchmarks.visits import measure
from benchmarks.worker import first_answer
from benchmarks.workloads import (
    Workload,
    check_output,
    matmul_flops,
    over_shape,
    train_flops,
    workloads,
)

FIRST, SECOND = (over_shape("train", "lstm", shape) for shape in ((1, 2, 3, 4), (8, 2, 3, 4)))
RESULTS = {
    FIRST.name: {
        JAXNN: Result((1.0, 2.0, 9.0)),
        DEVICES: Result(missing="not possible: a batch of 1"),
        TORCH: Result((4.0, 4.0, 4.0)),
        LINEN: Result((2.0, 8.0, 9.0)),
        KERAS: Result((4.0, 4.0, 6.0)),
    },
    SECOND.name: {
        JAXNN: Result((1.0, 1.0, 1.0)),
        DEVICES: Result((0.5, 0.5, 0.5)),
        TORCH: Result((0.5, 0.5, 0.5)),
        LINEN: Result((2.0, 2.0, 2.0)),
        KERAS: Result(missing="not installed: keras"),
    },
}


def test_ratios_of_one_workload():
    """The best peer has the smallest median; a ratio by round is a median of ratios."""
    results = RESULTS[FIRST.name]
    assert best(results, PEERS) == KERAS
    assert best(results, (DEVICES, "haiku")) is None
    assert ratio_of_medians(results, (JAXNN, DEVICES), PEERS) == 0.5
    assert ratio_by_round(results, JAXNN, PEERS) == 0.5  # of 0.25, 0.5 and 1.5
    assert ratio_by_round(results, JAXNN, (LINEN,)) == 0.5  # of 0.5, 0.25 and 1
    assert ratio_by_round(results, DEVICES, PEERS) is None
    assert ratio_by_round(results, JAXNN, ("haiku",)) is None
    assert geometric_mean([2.0, None, 8.0]) == 4.0
    assert geometric_mean([None]) is None


@pytest.mark.parametrize(
    ("ours", "theirs", "over", "limit", "ratio", "verdict"),
    [
        ((JAXNN,), PEERS, MEAN, 0.5, 0.5, "reached"),
        ((JAXNN, DEVICES), PEERS, MEAN, 0.4, math.sqrt(0.5 * 0.25), "reached"),
        ((JAXNN,), (TORCH,), EACH, 1.0, 2.0, "missed"),
        ((JAXNN,), (KERAS,), EACH, 1.0, 0.5, "reached"),
        ((JAXNN,), ("haiku",), EACH, 1.0, None, "not measured"),
    ],
)
def test_goals(ours, theirs, over, limit, ratio, verdict):
    """A mean over the shapes, or the worst of them; what is missing is counted."""
    found = outcome(
        Goal("a goal", "train-lstm", ours, theirs, over, limit), [FIRST, SECOND], RESULTS
    )
    assert found.verdict == verdict
    assert found.ratio == (None if ratio is None else pytest.approx(ratio, rel=1e-12))
    assert found.shapes == f"{0 if ratio is None else 1 if theirs == (KERAS,) else 2} of 2"


def test_the_table():
    """Medians in milliseconds, ratios and their mean, and everybody who is missing."""
    (family,) = families([FIRST, SECOND], RESULTS)
    lines = family_table(family).splitlines()
    rows = {line.split("  ")[0]: line.split("  ")[1:] for line in lines}
    cells = {name: [cell.strip() for cell in row if cell] for name, row in rows.items()}
    assert cells["train-lstm [ms]"] == ["1, 2, 3, 4", "8, 2, 3, 4", "geometric mean"]
    assert cells[JAXNN] == ["2000", "1000"]
    assert cells[DEVICES] == ["not possible", "500"]
    assert cells["best JAX peer"] == ["keras", "flax.linen"]
    assert cells["jaxnn / best JAX peer"] == ["0.50", "0.50", "0.50"]
    assert cells["jaxnn / torch"] == ["0.50", "2.00", "1.00"]
    assert cells[f"{DEVICES} / torch"] == ["–", "1.00", "1.00"]
    assert lines[-1] == "  keras: not installed: keras (8, 2, 3, 4)"
    assert [number(x) for x in (None, 0.0184, 0.184, 1.84, 18.4, 184.0)] == [
        "–", "0.018", "0.18", "1.84", "18.4", "184",
    ]  # fmt: skip


def test_the_readmes_table():
    """From the file, as it is written and read: who is best, and bold where jaxnn is slower."""
    stream = Workload("stream", "stream", "stream")
    alone = {JAXNN: Result((21e-6,) * 3), KERAS: Result((15e-6,) * 3), LINEN: Result((34e-6,) * 3)}
    measured = [FIRST, SECOND, stream]
    record = json.loads(json.dumps(as_json(measured, RESULTS | {"stream": alone})))
    first, *rows = table(record).splitlines()[2:]
    assert first.split(" | ")[:3] == ["| LSTM, train step (2 shapes)", "", "0.50 (0.50–0.50)"]
    assert first.endswith(" | keras, flax.linen | 1.00 (0.50–2.00) |")
    assert rows == [
        "| LSTM, train step, a device a core (1 shapes) |  | 0.25 | flax.linen | 1.00 |",
        "| LSTM, one streaming step | 21.0 µs | **1.40** | keras | – |",
    ]


def test_shares_of_the_matmul_rate():
    """Three forward passes of (input + hidden) x 4 hidden, two FLOP each."""
    assert train_flops(FIRST) == 3 * 2 * (1 * 2) * (3 + 4) * (4 * 4)
    matmul = Workload("matmul", "matmul", "matmul")
    results = {FIRST.name: RESULTS[FIRST.name], "matmul": {JAX: Result((2.0,))}}
    (row,) = shares([FIRST, matmul], results)
    assert row["share"] == pytest.approx(train_flops(FIRST) / 2 / (matmul_flops() / 2))
    assert share_table([]) == "" and shares([FIRST], RESULTS) == []


def test_the_list():
    """Names are unique, and a contestant that does less work is found out."""
    names = [workload.name for workload in workloads()]
    assert len(names) == len(set(names)) == 2 * 3 * 5 + 8
    assert {workload.name for workload in workloads(quick=True)} < set(names)
    deep = Workload("", "", "train", "lstm", 16, 100, 8, 128, 4, bidirectional=True)
    check_output(deep, (100, 16, 256), 1.0)
    check_output(deep, (16, 100, 256), 1.0, time_major=False)
    for shape, loss in (((100, 16, 128), 1.0), ((16, 256), 1.0), ((100, 16, 256), math.nan)):
        with pytest.raises(ValueError):
            check_output(deep, shape, loss)


def test_who_cannot():
    """Says why, before anything is built."""
    absent = Contestant("absent", "with_absent", "no_such_package.part")
    assert first_answer(absent, FIRST) == (None, {"missing": "not installed: no_such_package"})
    task, reply = first_answer(CONTESTANTS[DEVICES], FIRST._replace(kind="stream"))
    assert task is None and reply["missing"].startswith("not possible: ")


def test_a_worker():
    """jaxnn on a tiny shape."""
    tiny = over_shape("train", "lstm", (3, 4, 2, 5))
    results = race(tiny, [JAXNN], 2, 0.01, lambda text: None)
    assert len(results[JAXNN].rounds) == 2 and min(results[JAXNN].rounds) > 0
    facts = results[JAXNN].facts
    assert facts["parameters"] == (2 + 5 + 1) * 20 and facts["calls"] >= 1
    assert math.isfinite(facts["loss"])


def test_the_way_of_an_unroll_is_short() -> None:
    """What a reader of the engine has to open; `python -m benchmarks.visits` prints it."""
    found = measure()
    forward, gradient = found["forward"], found["under grad"]
    assert len(forward.of_recurrence()) <= 7 and len(gradient.of_recurrence()) <= 12
    assert sum(forward.calls.values()) <= 400


def test_memory_against_time() -> None:
    """A row for each way, with less memory and the same gradient; no time where none was taken."""
    rows = long_memory.measure(long_memory.Shape(256, 1, 4), 1)
    assert [row.way for row in rows] == list(long_memory.WAYS)
    plain, *others = rows
    assert all(row.temporaries < plain.temporaries / 2 for row in others)
    assert all(row.error is not None and row.error < 2e-6 for row in others)
    lines = long_memory.table([*rows, plain._replace(seconds=None, ratio=None)]).splitlines()
    assert len(lines) == 2 + len(rows) + 1
    assert lines[2].startswith("| 256, 1, 4 | plain | 0.")
    assert lines[-1].endswith(" | – | – | – |")


def test_the_readmes_table_is_that_of_the_results_that_are_kept():
    root = Path(__file__).parents[1]
    record = json.loads((root / "benchmarks/results.json").read_text(encoding="utf-8"))
    readme = (root / "README.md").read_text(encoding="utf-8")
    assert table(record) in readme, "python -m benchmarks.summary benchmarks/results.json"
