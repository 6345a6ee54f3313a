"""The README's code that is there to be pasted: the blocks without >>>, which no doctest runs."""

import pathlib
import re
from typing import Any

import pytest
import usual

README = pathlib.Path(__file__).parents[1] / "README.md"
BLOCKS = [
    block
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.M | re.S)
    if not block.startswith(">>>")
]


@pytest.fixture(autouse=True)
def usual_settings() -> Any:
    """As users run it, with jax's own settings."""
    with usual.usual_settings():
        yield


def test_the_first_model_learns(capsys: pytest.CaptureFixture[str]) -> None:
    """Pasted into an empty interpreter, it runs; most of the targets' variance is explained."""
    (block,) = BLOCKS
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(block, str(README), "exec"), names)
    assert names["test_error"] < 0.02 * names["targets"][2048:].var()
    assert f"test error {names['test_error']:.3f}" in capsys.readouterr().out
