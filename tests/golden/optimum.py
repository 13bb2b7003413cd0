#!/usr/bin/env python3
"""Writes sets/ (the sets that scikit-learn ships, and badly scaled ones made of them) and optimum.json (their optima).

    python3 tests/golden/optimum.py                # keeps the entries of MNIST that optimum.json has
    python3 tests/golden/optimum.py --mnist DIR    # makes these too, of the four IDX files (.gz) in DIR

Needs numpy, scipy and scikit-learn. MNIST takes minutes and 2 GB.
"""

import argparse
import gzip
import json
import pathlib

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from softmax import minimise, one_hot

HERE = pathlib.Path(__file__).parent
SETS = {"digits": load_digits, "iris": load_iris, "wine": load_wine, "cancer": load_breast_cancer}
SCALED = ["iris", "wine", "cancer"]
L2 = 1e-3
L2_MNIST = [1e-4, 1 / 60000]

WHAT = """\
Optima of loss + l2/2 * sum of W^2 (loss: mean cross-entropy; the bias is free), float64, by Newton's method. \
gradient_max: the largest entry of the gradient, in centred features of unit deviation. \
Rows are those of sets/NAME.npy, labels those of sets/NAME_labels.npy (for NAME_scaled and NAME_scaled_only, of \
sets/NAME_labels.npy). standardized: each feature minus its mean, over its population deviation (1 for a constant \
feature), and the penalty is on the weights of these. \
NAME_scaled_only: feature j times 10^(-4 + (j mod 9)); NAME_scaled: the same plus 1000; both in float64, then rounded to \
float32. from_unscaled: (objective - objective of NAME) / objective of NAME, both standardized: what the rounding to \
float32 changed. constant: features that the rounding left constant. mnist: pixel / 255, 60,000 training rows; \
test_correct of 10,000."""


def save_sets():
    """The files of sets/, and what is in them: name -> (rows, labels)."""
    (HERE / "sets").mkdir(exist_ok=True)
    sets = {}
    for name, load in SETS.items():
        x, labels = load(return_X_y=True)
        sets[name] = x.astype(np.uint8 if name == "digits" else np.float32), labels.astype(np.uint8)
        if name == "digits":
            assert (sets[name][0] == x).all(), "pixels are whole numbers"
        np.save(HERE / "sets" / f"{name}_labels.npy", sets[name][1])
    for name in SCALED:
        x, labels = sets[name]
        # Decimal literals, correctly rounded: any language gets the same float64.
        scale = np.array([float(f"1e{-4 + j % 9}") for j in range(x.shape[1])])
        sets[f"{name}_scaled"] = (x.astype(np.float64) * scale + 1000.0).astype(np.float32), labels
        sets[f"{name}_scaled_only"] = (x.astype(np.float64) * scale).astype(np.float32), labels
    for name, (x, _) in sets.items():
        np.save(HERE / "sets" / f"{name}.npy", np.ascontiguousarray(x))
    return sets


def idx(path):
    data = gzip.decompress(path.read_bytes())
    shape = np.frombuffer(data, ">u4", data[3], 4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * data[3]).reshape(shape[0], -1)


def entry(name, x, labels, l2, standardized):
    classes = int(labels.max()) + 1
    optimum = minimise(x, one_hot(labels, classes), l2, standardized)
    shape = {"rows": len(x), "features": x.shape[1], "classes": classes}
    found = {"loss": optimum.loss, "objective": optimum.objective, "gradient_max": optimum.gradient_max}
    correct = {"train_correct": optimum.correct(x, labels)}
    return {"data": name, "standardized": standardized, **shape, "l2": l2, **found, **correct}, optimum


def mnist(directory):
    x, labels, test, test_labels = (
        idx(directory / f"{part}-{kind}.gz")
        for part in ("train", "t10k")
        for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )
    for l2 in L2_MNIST:
        found, optimum = entry("mnist", x / 255, labels.ravel(), l2, standardized=False)
        yield {**found, "test_correct": optimum.correct(test / 255, test_labels.ravel())}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mnist", type=pathlib.Path, help="directory of MNIST's four files")
    directory = parser.parse_args().mnist
    file = HERE / "optimum.json"
    if directory:
        optima = list(mnist(directory))
    else:
        optima = [found for found in json.loads(file.read_text())["optima"] if found["data"] == "mnist"]

    unscaled = {}
    for name, (x, labels) in save_sets().items():
        for standardized in (False, True):
            found, _ = entry(name, x, labels, L2, standardized)
            base = name.partition("_")[0]
            if name in SETS:
                unscaled[name] = found["objective"]  # the standardised one comes last
            elif standardized:
                found["from_unscaled"] = found["objective"] / unscaled[base] - 1
            if name not in SETS:
                found["constant"] = [int(j) for j in np.flatnonzero(x.max(0) == x.min(0))]
            optima.append(found)
    file.write_text(json.dumps({"what": WHAT, "optima": optima}, indent=1) + "\n")


if __name__ == "__main__":
    main()
