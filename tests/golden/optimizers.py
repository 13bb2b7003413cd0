#!/usr/bin/env python3
"""Writes optimizers.json: what PyTorch's own optimizers make of a softmax regression in 200 steps of float64.

    python3 tests/golden/optimizers.py

Needs numpy and torch; the values were made with NumPy 2.4.6 and PyTorch 2.15.0. Prints how far float32 comes from each
case, and in how many steps the gradient was clipped.
"""

import json
import pathlib

import numpy as np
import torch
from torch.nn.functional import cross_entropy

HERE = pathlib.Path(__file__).parent
ROWS, FEATURES, CLASSES, BATCH = 60, 7, 4, 10
# One for each feature. Powers of two: every value is a float32, and a short decimal.
SCALES = np.array([0.125, 0.25, 8.0, 0.0, 1.0, 0.5, 4.0])
LOSS_STEPS = [0, 1, 9, 49, 199]
SNAPSHOTS = [1, 10, 50, 200]

WHAT = """\
Softmax regression by torch.optim, float64. x [rows, features], labels, the initial weights [features, classes] \
(row-major) and bias [classes]. Step s, from 0, takes the `batch` rows from (batch * s) mod rows on; its loss is their \
mean cross-entropy before the step. The bias is in a parameter group of its own, with weight_decay 0. \
settings: as PyTorch names them (betas: beta1 and beta2), its defaults too. clip_norm: by clip_grad_norm_, weights and \
bias together; clip_value: by clip_grad_value_. schedule: an ExponentialLR, stepped after every step. \
losses: those of loss_steps. after: weights and bias after so many steps."""

OPTIMIZERS = {
    "sgd": (torch.optim.SGD, ["lr", "momentum", "dampening", "weight_decay", "nesterov"]),
    "adagrad": (torch.optim.Adagrad, ["lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"]),
    "rmsprop": (torch.optim.RMSprop, ["lr", "alpha", "eps", "weight_decay", "momentum", "centered"]),
    "adam": (torch.optim.Adam, ["lr", "beta1", "beta2", "eps", "weight_decay"]),
    "adamw": (torch.optim.AdamW, ["lr", "beta1", "beta2", "eps", "weight_decay"]),
}

NONE = {"clip_norm": None, "clip_value": None, "schedule": None}
NESTEROV = {"momentum": 0.9, "nesterov": True}
ADAGRAD = {"lr": 0.05, "lr_decay": 0.01, "initial_accumulator_value": 0.1, "weight_decay": 0.01, "eps": 1e-6}
RMSPROP = {"lr": 0.002, "centered": True, "momentum": 0.9, "weight_decay": 0.01}
ADAM = {"lr": 0.01, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.01}

# Name, optimizer, the settings that are not PyTorch's defaults, and what of NONE is used.
CASES = [
    ("sgd", "sgd", {"lr": 0.02}, {}),
    ("sgd_decay", "sgd", {"lr": 0.02, "weight_decay": 0.01}, {}),
    ("momentum", "sgd", {"lr": 0.01, "momentum": 0.9}, {}),
    ("momentum_dampening", "sgd", {"lr": 0.01, "momentum": 0.9, "dampening": 0.5}, {}),
    ("nesterov", "sgd", {"lr": 0.01, **NESTEROV}, {}),
    ("nesterov_decay", "sgd", {"lr": 0.01, "weight_decay": 0.01, **NESTEROV}, {}),
    ("adagrad", "adagrad", {}, {}),
    ("adagrad_all", "adagrad", ADAGRAD, {}),
    ("rmsprop", "rmsprop", {}, {}),
    ("rmsprop_momentum", "rmsprop", {"lr": 0.002, "alpha": 0.9, "momentum": 0.9}, {}),
    ("rmsprop_centered", "rmsprop", {"centered": True}, {}),
    ("rmsprop_all", "rmsprop", RMSPROP, {}),
    ("adam", "adam", {}, {}),
    ("adam_all", "adam", ADAM, {}),
    ("adamw", "adamw", {}, {}),
    ("adamw_decay", "adamw", {"lr": 0.01, "weight_decay": 0.1}, {}),
    ("sgd_clip_norm", "sgd", {"lr": 0.05}, {"clip_norm": 0.5}),
    ("nesterov_clip_value", "sgd", {"lr": 0.05, **NESTEROV}, {"clip_value": 0.05}),
    ("momentum_clip_norm", "sgd", {"lr": 0.01, "momentum": 0.9}, {"clip_norm": 2.0}),
    ("adam_clip_norm", "adam", {"lr": 0.01}, {"clip_norm": 0.3}),
    ("nesterov_schedule", "sgd", {"lr": 0.02, "weight_decay": 0.01, **NESTEROV}, {"schedule": {"gamma": 0.99}}),
]


def problem():
    """Features, labels that they explain in part, and the weights and bias to start from, none of them zero."""
    random = np.random.default_rng(1)
    x = np.round(16 * random.standard_normal((ROWS, FEATURES))) / 16
    logits = x @ random.standard_normal((FEATURES, CLASSES)) + random.gumbel(size=(ROWS, CLASSES))
    start = random.integers(1, 26, (FEATURES + 1, CLASSES)) * random.choice([-1, 1], (FEATURES + 1, CLASSES)) / 256
    return x * SCALES, logits.argmax(1), start[:FEATURES], start[FEATURES]


def settings_of(optimizer, names):
    group = dict(optimizer.param_groups[0])
    group["beta1"], group["beta2"] = group.get("betas", (None, None))
    return {name: group[name] for name in names}


def run(data, dtype, optimizer, settings, clip_norm, clip_value, schedule):
    """All settings, the losses and parameters, and in how many steps the gradient was clipped."""
    x, labels, weights, bias = map(torch.tensor, data)
    x, weights, bias = x.to(dtype), weights.to(dtype).requires_grad_(), bias.to(dtype).requires_grad_()
    kind, names = OPTIMIZERS[optimizer]
    optimizer = kind([{"params": [weights]}, {"params": [bias], "weight_decay": 0.0}], **settings)
    settings = settings_of(optimizer, names)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, **schedule) if schedule else None

    losses, after, clipped = [], [], 0
    for step in range(SNAPSHOTS[-1]):
        start = BATCH * step % ROWS
        loss = cross_entropy(x[start : start + BATCH] @ weights + bias, labels[start : start + BATCH])
        optimizer.zero_grad()
        loss.backward()
        if clip_norm:
            clipped += int(torch.nn.utils.clip_grad_norm_([weights, bias], clip_norm) > clip_norm)
        if clip_value:
            clipped += int(max(weights.grad.abs().max(), bias.grad.abs().max()) > clip_value)
            torch.nn.utils.clip_grad_value_([weights, bias], clip_value)
        optimizer.step()
        if scheduler:
            scheduler.step()
        if step in LOSS_STEPS:
            losses.append(loss.item())
        if step + 1 in SNAPSHOTS:
            after.append({"steps": step + 1, "weights": weights.flatten().tolist(), "bias": bias.tolist()})
    return settings, {"losses": losses, "after": after}, clipped


def deviation(found, expected):
    """The largest differences: of losses, relative, and of parameters, relative to the largest weight of the time."""
    losses = max(abs(a / b - 1) for a, b in zip(found["losses"], expected["losses"]))
    parameters = max(
        np.abs(np.subtract(a[part], b[part])).max() / np.abs(b["weights"]).max()
        for a, b in zip(found["after"], expected["after"])
        for part in ("weights", "bias")
    )
    return f"losses {losses:.1e}, parameters {parameters:.1e}"


def main():
    torch.set_num_threads(1)
    data = problem()
    assert all((values == values.astype(np.float32)).all() for values in data), "every value is a float32"
    assert set(data[1]) == set(range(CLASSES)), "every class has rows"
    print(f"NumPy {np.__version__}, PyTorch {torch.__version__}")
    cases = []
    for name, optimizer, given, used in CASES:
        used = NONE | used
        settings, expected, clipped = run(data, torch.float64, optimizer, given, **used)
        _, found, _ = run(data, torch.float32, optimizer, given, **used)
        print(f"{name:20} float32: {deviation(found, expected)}; {clipped} steps clipped")
        cases.append({"name": name, "optimizer": optimizer, "settings": settings, **used, **expected})

    x, labels, weights, bias = (values.tolist() for values in data)
    head = {"what": WHAT, "rows": ROWS, "features": FEATURES, "classes": CLASSES, "batch": BATCH}
    head |= {"loss_steps": LOSS_STEPS, "labels": labels, "weights": sum(weights, []), "bias": bias}
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    for key, values in {"x": x, "cases": cases}.items():
        lines.append(f' "{key}": [\n' + ",\n".join("  " + json.dumps(value) for value in values) + "\n ]")
    (HERE / "optimizers.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
