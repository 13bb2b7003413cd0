#!/usr/bin/env python3
"""Writes scikit_learn.json: what scikit-learn's LogisticRegression makes of the probe's rows, in one thread.

    python3 examples/linear_probe/scikit_learn.py

Needs numpy, scikit-learn and threadpoolctl. C is the one of the least log loss on a validation split, stratified, of 20 %
of the training rows; then all training rows are fitted with it.
"""

import json
import pathlib
import platform
import time

import numpy as np
import scipy
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

HERE = pathlib.Path(__file__).parent
GRID = [10.0**k for k in range(-3, 4)]
TIMES = 5  # the least of so many is reported


def read(part):
    labels = (HERE / f"{part}.txt").read_text().split("\n")[:-1]
    return np.load(HERE / f"{part}.npy").astype(np.float32), np.array(labels)


def fit(x, labels, c):
    return LogisticRegression(C=c, max_iter=1000).fit(x, labels)


def scores(model, x, labels):
    loss = log_loss(labels, model.predict_proba(x.astype(np.float64)), labels=model.classes_)
    return {"correct": int((model.predict(x) == labels).sum()), "accuracy": model.score(x, labels), "log_loss": loss}


def main():
    x, labels = read("train")
    inner, validation = train_test_split(np.arange(len(x)), test_size=0.2, stratify=labels, random_state=0)
    grid, start = [], time.perf_counter()
    for c in GRID:
        model = fit(x[inner], labels[inner], c)
        found = scores(model, x[validation], labels[validation])
        grid.append({"c": c, "iterations": int(model.n_iter_[0]), **found})
    grid_seconds = time.perf_counter() - start
    c = min(grid, key=lambda entry: entry["log_loss"])["c"]

    seconds, cpu_seconds = [], []
    for _ in range(TIMES):
        start, cpu_start = time.perf_counter(), time.process_time()
        model = fit(x, labels, c)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    l2 = 1 / (c * len(x))
    train, (rows, names) = scores(model, x, labels), read("test")
    result = {
        "what": "LogisticRegression(C=c, max_iter=1000) on float32 rows, lbfgs, one thread: C of the least log loss on 20 % "
        "of the training rows, then all of them. l2 = 1 / (c * train_rows); objective = log_loss + l2/2 * sum of W^2 of "
        f"the training rows. The least of {TIMES} times.",
        "versions": {"python": platform.python_version(), "scikit-learn": sklearn.__version__}
        | {"numpy": np.__version__, "scipy": scipy.__version__},
        "train_rows": len(x),
        "test_rows": len(rows),
        "validation": grid,
        "validation_seconds": round(grid_seconds, 3),
        "c": c,
        "l2": l2,
        "iterations": int(model.n_iter_[0]),
        "seconds": round(min(seconds), 3),
        "cpu_seconds": round(min(cpu_seconds), 3),
        "train": {**train, "objective": train["log_loss"] + l2 / 2 * float((model.coef_.astype(np.float64) ** 2).sum())},
        "test": scores(model, rows, names),
    }
    (HERE / "scikit_learn.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    with threadpool_limits(limits=1):
        main()
