#!/usr/bin/env python3
"""Writes schedules.json: the learning rates of PyTorch's schedulers, step by step.

    python3 tests/golden/schedules.py

Needs torch; the values were made with PyTorch 2.15.0.
"""

import json
import math
import pathlib

import torch
from torch.optim import lr_scheduler

HERE = pathlib.Path(__file__).parent
BASE = 0.5

WHAT = """\
Learning rates of torch.optim.lr_scheduler, float64, for an optimizer whose own rate is `base`; settings as PyTorch \
names them. learning_rates: that of step 0, 1, ...: before the scheduler's first step, after it, and so on. \
warmup_cosine: a LinearLR of `warmup` steps, then at step `warmup` a CosineAnnealingLR from its start. \
plateau: a ReduceLROnPlateau, min, its threshold relative; learning_rates[i] is the rate before metrics[i] is told, so \
there is one more."""

# Falls, stays, and falls by less than the threshold, at once and little by little; then nothing helps any more.
METRICS = [2.0, 1.5, 1.25, 1.25, 1.25, 1.0]  # equal values, but not for longer than patience
METRICS += [1.0, 1.0, 1.0, 0.9]  # too long; better within the cooldown
METRICS += [0.89998, 0.89996, 0.89994, 0.89992]  # each within the threshold of the best: too long
METRICS += [0.7, 0.69998, 0.69995, 0.6999, 0.69985]  # the third is below the threshold of the best
METRICS += [0.8, 0.9, 0.6, 0.61, 0.62, 0.63, 0.64, 0.65, 0.66, 0.67, 0.5]  # worse; the cooldown counts no bad ones
METRICS += [0.5] * 32

STEPS = 61


def optimizer():
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=BASE)


def cosine(step, t_max, eta_min):
    return eta_min + (BASE - eta_min) * (1 + math.cos(math.pi * step / t_max)) / 2


def warmup_cosine(sgd, warmup, start_factor, T_max, eta_min):
    first = lr_scheduler.LinearLR(sgd, start_factor, 1.0, warmup)
    return lr_scheduler.SequentialLR(sgd, [first, lr_scheduler.CosineAnnealingLR(sgd, T_max, eta_min)], [warmup])


# Name, scheduler, settings, those that the file leaves out, steps.
SCHEDULES = [
    ("step", lr_scheduler.StepLR, {"step_size": 10, "gamma": 0.1}, {}, STEPS),
    ("exponential", lr_scheduler.ExponentialLR, {"gamma": 0.9}, {}, STEPS),
    ("cosine", lr_scheduler.CosineAnnealingLR, {"T_max": 50, "eta_min": 0.01}, {}, 51),
    ("linear", lr_scheduler.LinearLR, {"start_factor": 0.1, "end_factor": 1.0, "total_iters": 10}, {}, STEPS),
    (
        "one_cycle",
        lr_scheduler.OneCycleLR,
        {"max_lr": 0.5, "total_steps": 50, "pct_start": 0.3, "div_factor": 25.0, "final_div_factor": 1e4},
        {"anneal_strategy": "cos", "cycle_momentum": False},
        50,
    ),
    ("warmup_cosine", warmup_cosine, {"warmup": 5, "start_factor": 0.1, "T_max": 45, "eta_min": 0.001}, {}, 51),
    (
        "plateau",
        lr_scheduler.ReduceLROnPlateau,
        {"factor": 0.5, "patience": 2, "threshold": 1e-4, "cooldown": 1, "min_lr": 1e-3},
        {"mode": "min", "threshold_mode": "rel"},
        len(METRICS) + 1,
    ),
]


def rates(scheduler, settings, steps):
    sgd = optimizer()
    scheduler = scheduler(sgd, **settings)
    found = []
    for step in range(steps):
        found.append(sgd.param_groups[0]["lr"])
        if step + 1 < steps:
            sgd.step()
            scheduler.step(*([METRICS[step]] if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau) else []))
    return found


def main():
    lines = []
    for name, scheduler, settings, unsaid, steps in SCHEDULES:
        found = rates(scheduler, settings | unsaid, steps)
        metrics = {"metrics": METRICS} if name == "plateau" else {}
        lines.append("  " + json.dumps({"name": name, "settings": settings, **metrics, "learning_rates": found}))
        if "T_max" in settings:  # PyTorch goes from rate to rate: it is not far from the closed form
            warmup, t_max, eta_min = settings.get("warmup", 0), settings["T_max"], settings["eta_min"]
            closed = [cosine(step, t_max, eta_min) for step in range(t_max + 1)]
            assert all(math.isclose(a, b, rel_tol=1e-12) for a, b in zip(found[warmup:], closed, strict=True)), name
    head = f' "what": {json.dumps(WHAT)},\n "base": {BASE},\n "schedules": [\n'
    (HERE / "schedules.json").write_text("{\n" + head + ",\n".join(lines) + "\n ]\n}\n")


if __name__ == "__main__":
    main()
