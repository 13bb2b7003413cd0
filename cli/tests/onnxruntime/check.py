#!/usr/bin/env python3
"""Checks `softreg export` with onnxruntime, on MNIST's 10,000 test rows. Run by hand; prints what it found and fails
where it is too much.

    python3 -m pip install numpy onnx onnxruntime
    python3 cli/tests/onnxruntime/check.py target/release/softreg

Trains a model, exports it as .npz and as ONNX for both types of input, and compares:

- the graphs' probabilities with those of float64 from the .npz, to 4e-6; NumPy's float32 from the .npz stands beside;
- the graphs' classes with the .npz's, but where the two best logits are closer than float32 tells apart;
- accuracy and log loss with those that `softreg eval` finds;
- a second model, of features without preprocessing and 100 classes, on random rows, in batches of 1 and 7 too.

Each graph passes `onnx.checker` with its full check first.

What it found with onnxruntime 1.32.0, onnx 1.23.2, numpy 2.4.6, softreg at avx2: both graphs of MNIST within 2.1e-6,
0.02 % of their probabilities beyond 1e-6, NumPy's float32 within 1.9e-6; no class differs; 9264 correct and log loss
0.2630691, as `softreg eval` says. The 100 classes: within 2.7e-7, no class differs.
"""

import argparse
import gzip
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime

# Logits to 29 are sums of 784 products, each rounded to float32: NumPy's own are off by 1.2e-5, its probabilities by 1.9e-6.
WITHIN = 4e-6
# Means over 10,000 rows.
MEAN_WITHIN = 1e-6
# A logit of magnitude 20 has steps of 2e-6 in float32; sums of 784 products round a few times that.
TIE = 2e-5
TEST_SET = pathlib.Path(__file__).resolve().parents[3] / "mnist-data" / "test" / "data"


def idx(path, width):
    data = gzip.decompress(path.read_bytes())
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(-1, *width)


def softreg(*words):
    return subprocess.run([arguments.softreg, *map(str, words)], check=True, capture_output=True, text=True).stdout


def reference(arrays, x, kind=np.float64):
    """Logits and probabilities."""
    logits = x.astype(kind) @ arrays["weight"].astype(kind).T + arrays["bias"].astype(kind)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return logits, powers / powers.sum(axis=1, keepdims=True)


def check(name, path, rows, arrays, x):
    """Runs a graph on rows, compares it with float64 on x, and returns its answers."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (entry,) = session.get_inputs()
    found = {}
    for batch in (len(rows), 1, 7):
        classes, probabilities = session.run(["class", "probabilities"], {entry.name: rows[:batch]})
        logits, expected = reference(arrays, x[:batch])
        assert classes.dtype == np.int64 and classes.shape == (batch,), (classes.dtype, classes.shape)
        assert probabilities.dtype == np.float32 and probabilities.shape == expected.shape, probabilities.shape
        errors = np.abs(probabilities - expected)
        error, far = errors.max(), (errors > 1e-6).mean()
        others = np.flatnonzero(classes != logits.argmax(axis=1))
        gaps = [np.ptp(np.sort(logits[row])[-2:]) for row in others]
        assert error <= WITHIN, f"{name}: probabilities differ by {error}"
        assert all(gap < TIE for gap in gaps), f"{name}: other classes, their logits apart by {gaps}"
        found[batch] = classes, probabilities, error, far, len(others)
    classes, probabilities, error, far, others = found[len(rows)]
    numpy_error = np.abs(reference(arrays, x, np.float32)[1] - reference(arrays, x)[1]).max()
    print(f"{name}: input {entry.name} {entry.type} {entry.shape}, {len(rows)} rows, {others} classes differ, "
          f"probabilities within {error:.1e}, {far:.2%} of them beyond 1e-6; NumPy's float32 within {numpy_error:.1e}")
    return classes, probabilities


def mnist(directory):
    model, npz = directory / "model.safetensors", directory / "model.npz"
    softreg("fit", "--l2", "1e-4", "--max-passes", "60", "--save", model, "--json")
    evaluated = json.loads(softreg("eval", "--model", model, "--json"))
    softreg("export", "--model", model, "--npz", npz)
    arrays = np.load(npz, allow_pickle=False)
    assert arrays["classes"].tolist() == [str(digit) for digit in range(10)]
    assert json.loads(arrays["settings"].item())["preprocessing"] == "u8 pixels / 255"
    pixels = idx(TEST_SET / "t10k-images-idx3-ubyte.gz", (784,))
    labels = idx(TEST_SET / "t10k-labels-idx1-ubyte.gz", ())
    for kind in (np.uint8, np.float32):
        path = directory / "model.onnx"
        softreg("export", "--model", model, "--onnx", path, "--input", np.dtype(kind).name)
        classes, probabilities = check(f"MNIST, {np.dtype(kind).name}", path, pixels.astype(kind), arrays, pixels / 255)
        correct = int((classes == labels).sum())
        loss = -np.log(probabilities[np.arange(len(labels)), labels].astype(np.float64)).mean()
        print(f"  {correct} correct, softreg eval {evaluated['test_correct']}; log loss {loss:.7f}, softreg eval "
              f"{evaluated['test_log_loss']:.7f}")
        assert abs(correct - evaluated["test_correct"]) <= 1
        assert abs(loss - evaluated["test_log_loss"]) <= MEAN_WITHIN


def features(directory):
    model, onnx_file, npz = directory / "own.safetensors", directory / "own.onnx", directory / "own.npz"
    generator = np.random.default_rng(0)
    x = generator.normal(size=(3000, 50)).astype(np.float32)
    np.save(directory / "x.npy", x)
    (directory / "y.txt").write_text("".join(f"class \"{row % 100}\" ü\n" for row in range(len(x))))
    softreg("fit", "--features", directory / "x.npy", "--labels", directory / "y.txt", "--l2", "1e-3", "--save", model)
    softreg("export", "--model", model, "--npz", npz)
    softreg("export", "--model", model, "--onnx", onnx_file)
    arrays = np.load(npz, allow_pickle=False)
    names = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}["class_names"]
    assert arrays["classes"].tolist() == json.loads(names)
    check("own features", onnx_file, x, arrays, x.astype(np.float64))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("softreg", help="the program")
    arguments = parser.parse_args()
    print(f"onnxruntime {onnxruntime.__version__}, onnx {onnx.__version__}, numpy {np.__version__}")
    with tempfile.TemporaryDirectory() as name:
        mnist(pathlib.Path(name))
        features(pathlib.Path(name))
