#!/usr/bin/env python3
"""Writes pytorch_loop.json: what PyTorch's usual training loop makes of one linear layer, in float64.

    python3 tests/golden/pytorch_loop.py

Needs numpy and torch; the values were made with NumPy 2.4.6 and PyTorch 2.15.0. Prints how far float32, the type of the
usual loop, comes from each run.
"""

import copy
import itertools
import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

HERE = pathlib.Path(__file__).parent
ROWS, FEATURES, CLASSES = 300, 20, 5
BATCH, EPOCHS = 32, 12
CLASS_WEIGHTS = [1.0, 0.5, 2.0, 1.5, 0.75]
SMOOTHING = 0.1

WHAT = """\
nn.Linear, float64, trained by batches of `batch` rows in file order, the last one smaller. x [rows, features], \
labels, the initial weight [classes, features] (row-major) and bias [classes]. \
loss: nn.CrossEntropyLoss(weight=class_weights, label_smoothing=label_smoothing), null: not given. With both, w and s, \
for a batch with labels y it is sum over rows of ((1-s) w_y (-ln p_y) + s/classes sum over c of w_c (-ln p_c)) / sum \
over rows of w_y: the divisor is not the sum of the smoothed and weighted targets. \
sgd: lr 0.1, momentum 0.9, nesterov, weight_decay 0.001, StepLR of step_size 4 and gamma 0.3. \
adamw: lr 0.01, weight_decay 0.01, else the defaults, CosineAnnealingLR of T_max 12. \
Schedules are stepped once an epoch; the bias is in a parameter group of its own, with weight_decay 0. \
learning_rates: of each epoch. losses: of each epoch, the mean over its batches, each counted alike, of the loss \
before their step. weight, bias of a run: at its end."""


def sgd(groups):
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-3)
    return optimizer, lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.3)


def adamw(groups):
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.01)
    return optimizer, lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)


OPTIMIZERS = {"sgd": sgd, "adamw": adamw}


def problem():
    """Features and labels that they explain in part, of classes that differ in size, and the layer to start from."""
    random = np.random.default_rng(2)
    x = np.round(16 * random.standard_normal((ROWS, FEATURES))) / 16  # float32s of four decimals at most
    logits = x @ random.standard_normal((FEATURES, CLASSES)) / 2 + np.arange(CLASSES) / 4
    labels = (logits + random.gumbel(size=logits.shape)).argmax(1)
    model = nn.Linear(FEATURES, CLASSES, dtype=torch.float64)
    bound = FEATURES**-0.5  # as nn.Linear starts
    with torch.no_grad():
        for values in (model.weight, model.bias):
            values.copy_(torch.tensor(np.round(1024 * random.uniform(-bound, bound, values.shape)) / 1024))
    return torch.tensor(x), torch.tensor(labels), model


def train(x, labels, model, optimizer, class_weights, smoothing):
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=x.dtype)
    criterion = nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing or 0.0)
    groups = [{"params": [model.weight]}, {"params": [model.bias], "weight_decay": 0.0}]
    optimizer, scheduler = OPTIMIZERS[optimizer](groups)
    losses, learning_rates = [], []
    for _ in range(EPOCHS):
        learning_rates.append(optimizer.param_groups[0]["lr"])
        batches = []
        for rows, targets in DataLoader(TensorDataset(x, labels), batch_size=BATCH):
            loss = criterion(model(rows), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            batches.append(loss.item())
        scheduler.step()
        losses.append(sum(batches) / len(batches))
    end = {"weight": model.weight.flatten().tolist(), "bias": model.bias.tolist()}
    return {"learning_rates": learning_rates, "losses": losses, **end}


def deviation(found, expected):
    """The largest differences: of losses, relative, and of parameters, relative to the largest weight."""
    losses = max(abs(a / b - 1) for a, b in zip(found["losses"], expected["losses"]))
    parameters = max(np.abs(np.subtract(found[part], expected[part])).max() for part in ("weight", "bias"))
    return f"losses {losses:.1e}, parameters {parameters / np.abs(expected['weight']).max():.1e}"


def main():
    torch.set_num_threads(1)
    x, labels, model = problem()
    start = {"weight": model.weight.flatten().tolist(), "bias": model.bias.tolist()}
    for values in (x, model.weight, model.bias):
        assert torch.equal(values, values.float().double()), "every value is a float32"
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}; of the classes: {np.bincount(labels).tolist()} rows")
    runs = []
    for optimizer, weights, smoothing in itertools.product(OPTIMIZERS, (CLASS_WEIGHTS, None), (SMOOTHING, None)):
        expected = train(x, labels, copy.deepcopy(model), optimizer, weights, smoothing)
        found = train(x.float(), labels, copy.deepcopy(model).float(), optimizer, weights, smoothing)
        fields = {"optimizer": optimizer, "class_weights": weights, "label_smoothing": smoothing}
        print(*fields.values(), "float32:", deviation(found, expected))
        runs.append({**fields, **expected})

    head = {"what": WHAT, "rows": ROWS, "features": FEATURES, "classes": CLASSES, "batch": BATCH, "epochs": EPOCHS}
    head |= {"labels": labels.tolist(), **start}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, values in {"x": x.tolist(), "runs": runs}.items():
        lines.append(f' "{key}": [\n' + ",\n".join("  " + json.dumps(value) for value in values) + "\n ]")
    (HERE / "pytorch_loop.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
