#!/usr/bin/env python3
"""Writes the sets that scikit-learn ships as CSV files, with the names of their features and classes.

    python3 tests/golden/tables.py DIR
    softreg fit --csv DIR/iris.csv --label target --l2 0.001

Needs scikit-learn. The optima of these fits are those of optimum.json (the values are as float64 prints them, and
read as the float32 nearest to them). Classes of digits are called by words, so that all four sets have texts.
"""

import csv
import pathlib
import sys

from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

WORDS = "zero one two three four five six seven eight nine".split()


def main(directory):
    directory.mkdir(exist_ok=True)
    for name, load in [("iris", load_iris), ("wine", load_wine), ("cancer", load_breast_cancer), ("digits", load_digits)]:
        data = load()
        names = WORDS if name == "digits" else [str(target) for target in data.target_names]
        with open(directory / f"{name}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*data.feature_names, "target"])
            writer.writerows([*map(float, row), names[label]] for row, label in zip(data.data, data.target))


main(pathlib.Path(sys.argv[1]))
