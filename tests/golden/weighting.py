#!/usr/bin/env python3
"""Writes weighting.json: optima under class weights, row weights, smoothing, soft labels and an ignored label, each
alone and in pairs, on the first rows of sets/iris.npy and sets/digits.npy.

    python3 tests/golden/weighting.py

Needs numpy and scipy, and the files that optimum.py writes.
"""

import itertools
import json
import pathlib

import numpy as np

from softmax import minimise, one_hot

HERE = pathlib.Path(__file__).parent
ROWS = {"iris": 130, "digits": 600}  # of iris so many that its classes differ in size
L2 = 1e-3

WHAT = """\
Optima of loss + l2/2 * sum of W^2 (the bias is free), float64, by Newton's method. Row i of sets/DATA.npy, the first \
`rows`, has label y, k classes. Its targets t: one-hot, or if soft: 0.7 on y, plus 0.2 on (y+1) mod k, plus 0.1 on \
(y+3) mod k, times 1.5 if i is even, computed in float64 and rounded to float32. ignored: a row of this label has weight \
0 (if soft: targets of zeros); it stays an output. Then smoothing: t = (1-smoothing) t + smoothing/k sum(t). Then \
t = t * r_i * class_weight_values[c]; the row weight r_i is 0 if i mod 13 = 5, else 0.5 + (7i mod 11)/4, if row_weights, \
else 1. loss = sum(-t ln p) / weight_sum, where weight_sum is the sum of t without smoothing. \
class_weights: "given" are 1 + c/4; "balanced" are n / (classes that have rows * rows of c), counted without weights in \
the rows that are not ignored, and 0 for a class without rows; "balanced_by_row_weight" are the same with row weights for \
rows, as scikit-learn 1.9 does. \
standardized: each feature minus its weighted mean, over its weighted population deviation (weights: a row's sum of t \
without smoothing; 1 for a \
feature that is constant where the weight is not 0), and the penalty is on the weights of these. \
attained: false if a class has no weight at all: the objective given is an infimum, that of the problem without this \
class, approached as its bias goes to minus infinity. \
gradient_max: the largest entry of the gradient, in centred features of unit deviation."""

# What can be combined: at most one of a line.
CHOICES = [
    [{}, {"class_weights": "given"}, {"class_weights": "balanced"}],
    [{}, {"row_weights": True}],
    [{}, {"smoothing": 0.1}],
    [{}, {"soft": True}],
    [{}, {"ignored": 2}],
]
NONE = {"class_weights": None, "row_weights": False, "smoothing": 0.0, "soft": False, "ignored": None}


def mixtures():
    """None, each alone, every pair, and all together. Balanced weights count labels, and soft rows have none."""
    for chosen in itertools.product(*CHOICES):
        mixture = NONE | {key: value for choice in chosen for key, value in choice.items()}
        used = sum(map(bool, chosen))
        if (used <= 2 or used == len(CHOICES)) and not (mixture["class_weights"] == "balanced" and mixture["soft"]):
            yield mixture
            if mixture["class_weights"] == "balanced" and mixture["row_weights"]:
                yield mixture | {"class_weights": "balanced_by_row_weight"}


def targets_of(labels, k, mixture):
    """Targets with all weights, what each row counts, and the class weights."""
    i = np.arange(len(labels))
    kept = labels != mixture["ignored"] if mixture["ignored"] is not None else np.ones(len(labels), bool)
    r = np.where(i % 13 == 5, 0.0, 0.5 + (7 * i) % 11 / 4) if mixture["row_weights"] else np.ones(len(labels))
    t = one_hot(labels, k)
    if mixture["soft"]:
        t = 0.7 * t + 0.2 * one_hot((labels + 1) % k, k) + 0.1 * one_hot((labels + 3) % k, k)
        t = (t * np.where(i % 2 == 0, 1.5, 1.0)[:, None]).astype(np.float32).astype(np.float64)
    t = t * kept[:, None]
    sharp = t
    t = (1 - mixture["smoothing"]) * t + mixture["smoothing"] / k * t.sum(1, keepdims=True)
    match mixture["class_weights"]:
        case None:
            w = np.ones(k)
        case "given":
            w = 1 + np.arange(k) / 4
        case kind:
            rows = kept * (r if kind == "balanced_by_row_weight" else 1.0)
            count = np.bincount(labels, rows, minlength=k)
            w = np.divide(rows.sum() / (count > 0).sum(), count, out=np.zeros(k), where=count > 0)
    return t * r[:, None] * w, (sharp * w).sum(1) * r, w


def main():
    entries = []
    for name, rows in ROWS.items():
        x = np.load(HERE / "sets" / f"{name}.npy")[:rows]
        labels = np.load(HERE / "sets" / f"{name}_labels.npy")[:rows].astype(np.int64)
        k = int(labels.max()) + 1
        for mixture, standardized in itertools.product(mixtures(), (False, True)):
            targets, counts, class_weights = targets_of(labels, k, mixture)
            optimum = minimise(x, targets, L2, standardized, counts)
            fields = {"data": name, "rows": rows, "classes": k, "l2": L2, **mixture, "standardized": standardized}
            fields["class_weight_values"] = class_weights.tolist()
            fields |= {"weight_sum": float(counts.sum()), "attained": optimum.attained}
            fields |= {"objective": optimum.objective, "loss": optimum.loss, "gradient_max": optimum.gradient_max}
            entries.append(fields)
    lines = ",\n".join("  " + json.dumps(fields) for fields in entries)
    (HERE / "weighting.json").write_text(f'{{\n "what": {json.dumps(WHAT)},\n "optima": [\n{lines}\n ]\n}}\n')


if __name__ == "__main__":
    main()
