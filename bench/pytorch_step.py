#!/usr/bin/env python3
"""Times PyTorch's training step, in one thread: nn.Linear(784, 10), a batch of 100 rows, float32.

    taskset -c 1 python3 bench/pytorch_step.py

Needs torch. A step is the forward pass, nn.CrossEntropyLoss, the backward pass and the optimizer's step, on the same
batch each time. Each optimizer is timed in every implementation that this version of PyTorch has for the CPU: plain
(the default there), foreach and fused. Times are the best of many rounds.
"""

import argparse
import functools
import time

import torch
from torch import nn

FEATURES, CLASSES, BATCH = 784, 10, 100

OPTIMIZERS = {
    "SGD": functools.partial(torch.optim.SGD, lr=0.01),
    "SGD, momentum 0.9": functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9),
    "SGD, Nesterov 0.9": functools.partial(torch.optim.SGD, lr=0.01, momentum=0.9, nesterov=True),
    "Adagrad": torch.optim.Adagrad,
    "RMSprop": functools.partial(torch.optim.RMSprop, lr=0.001),
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
}
IMPLEMENTATIONS = {"plain": {"foreach": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}


def stepper(optimizer, implementation):
    """A function that makes one step of a new model; None where PyTorch has no such implementation."""
    model = nn.Linear(FEATURES, CLASSES)
    criterion = nn.CrossEntropyLoss()
    x, labels = torch.rand(BATCH, FEATURES), torch.randint(CLASSES, (BATCH,))
    try:
        optimizer = optimizer(model.parameters(), **implementation)
    except (TypeError, RuntimeError):
        return None

    def step():
        optimizer.zero_grad(set_to_none=True)
        criterion(model(x), labels).backward()
        optimizer.step()

    return step


def seconds(step, steps):
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return (time.perf_counter() - start) / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--steps", type=int, default=200, help="of a round")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"PyTorch {torch.__version__}; microseconds a step")
    print(f"{'':20}" + "".join(f"{name:>10}" for name in IMPLEMENTATIONS))
    best = {}
    for _ in range(arguments.rounds):  # of all, in turn: what disturbs one round spares others
        for name, optimizer in OPTIMIZERS.items():
            for implementation, settings in IMPLEMENTATIONS.items():
                if step := stepper(optimizer, settings):
                    seconds(step, 20)  # the optimizer's state is made in the first step
                    key = name, implementation
                    best[key] = min(best.get(key, float("inf")), seconds(step, arguments.steps))
    for name in OPTIMIZERS:
        found = [best.get((name, implementation)) for implementation in IMPLEMENTATIONS]
        print(f"{name:20}" + "".join(f"{1e6 * time:10.1f}" if time else f"{'-':>10}" for time in found))


if __name__ == "__main__":
    main()
