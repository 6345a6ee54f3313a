"""What keras's configs and files may hold that is refused, with the reason; keras is not needed."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest

from jaxnn.interop.keras import from_config, from_file, read

DENSE = {"name": "d", "units": 2, "activation": "linear", "use_bias": True}
LSTM = {
    "name": "l", "units": 2, "activation": "tanh", "recurrent_activation": "sigmoid",
    "use_bias": True, "return_sequences": True, "go_backwards": False, "return_state": False,
}  # fmt: skip
ARRAYS = [np.ones((3, 2), np.float32), np.zeros(2, np.float32)]
CELL = [np.ones((3, 8), np.float32), np.ones((2, 8), np.float32), np.zeros(8, np.float32)]


def sequential(*layers: tuple[str, Any]) -> Any:
    described = [{"class_name": kind, "config": options} for kind, options in layers]
    return {"class_name": "Sequential", "config": {"layers": described}}


def functional(**above: list[str]) -> Any:
    layers = [
        {
            "class_name": "Dense",
            "config": {**DENSE, "name": name},
            "inbound_nodes": [[[each, 0, 0, {}] for each in below]],
        }
        for name, below in above.items()
    ]
    return {"class_name": "Functional", "config": {"layers": layers}}


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        (
            sequential(("Lambda", {"name": "a"}), ("Dense", DENSE), ("ConvLSTM2D", {"name": "b"})),
            {"d": ARRAYS},
            r"no counterpart for a \(Lambda\), b \(ConvLSTM2D\)",
        ),
        (functional(a=[], b=["a"], c=["a", "b"]), {}, "a chain; 'c' has the inputs"),
        (functional(a=[], b=["a"], c=["a"]), {}, "'c' is not alone on 'a'"),
        (sequential(("Dense", DENSE)), {}, r"d \(Dense\): its weights are not there"),
        (sequential(("Dense", DENSE)), {"d": ARRAYS[:1]}, "bias: missing"),
        (sequential(("Dense", DENSE)), {"d": [*ARRAYS, ARRAYS[1]]}, "left over"),
        (sequential(("Dense", DENSE)), {"d": ARRAYS, "e": ARRAYS}, "layers that are not there: e"),
        (sequential(("Dense", {"name": "d"})), {"d": ARRAYS}, "no 'use_bias'"),
        (sequential(("Dense", {**DENSE, "activation": "own"})), {"d": ARRAYS}, "activation 'own'"),
        (sequential(("LSTM", {**LSTM, "return_state": True})), {"l": CELL}, "return_state=True"),
        (
            sequential(("LSTM", {**LSTM, "recurrent_activation": "hard_sigmoid"})),
            {"l": CELL},
            "give version=2 or 3",
        ),
        (sequential(("LSTM", {**LSTM, "units": 3})), {"l": CELL}, r"expected \(3, 12\)"),
        (
            sequential(("Bidirectional", {"name": "l", "merge_mode": None})),
            {"l": CELL * 2},
            "merge_mode=None",
        ),
        (
            sequential(("Embedding", {"name": "e"}), ("Flatten", {"name": "f"})),
            {"e": ARRAYS[:1]},
            "all steps of a sequence in one row",
        ),
        ({"class_name": "Subclassed", "config": {"layers": []}}, {}, "Subclassed has no config"),
    ],
)  # fmt: skip
def test_configs(config: Any, weights: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        from_config(config, weights)


def test_what_is_no_config() -> None:
    with pytest.raises(TypeError, match="to_json"):
        from_config({"name": "lstm"}, {})
    with pytest.raises(TypeError, match="floating"):
        from_config(sequential(("Dense", DENSE)), {"d": ARRAYS}, dtype="int32")


def test_files(tmp_path: Any) -> None:
    h5py = pytest.importorskip("h5py")
    file = tmp_path / "file"
    for data, words in ((b"text", "neither"), (b"PK but no zip", "damaged"), (b"", "neither")):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=words):
            from_file(file)
    with h5py.File(file, "w") as content:
        content["lstm"] = np.ones(3)
    with pytest.raises(ValueError, match="weights without a model"):
        from_file(file)
    with pytest.raises(ValueError, match="does not name its layers"):
        read(file)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    for reads in (from_file, read):
        with pytest.raises(ValueError, match="damaged"):
            reads(file)
    with h5py.File(file, "w") as content:
        content.attrs["layer_names"] = [b"one", b"other"]
        for layer in ("one", "other"):
            content.create_group(layer).attrs["weight_names"] = [b"kernel:0"]
            content[layer]["kernel:0"] = np.ones(3)
    with pytest.raises(ValueError, match="two weights of one name: kernel:0"):
        read(file)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as content:
        content.writestr("config.json", "{}")
    file.write_bytes(archive.getvalue())
    with pytest.raises(ValueError, match="config or weights are missing"):
        from_file(file)
    with pytest.raises(ValueError, match="no HDF5 file"):
        read(file)
    with pytest.raises(FileNotFoundError):
        from_file(tmp_path / "missing")
