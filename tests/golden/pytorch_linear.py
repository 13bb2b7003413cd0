"""Makes the files linear_*.safetensors in this directory: a linear layer as PyTorch's users save it, under three prefixes
and in three types, beside tensors that are none.

    pip install numpy safetensors && python tests/golden/pytorch_linear.py

Made with Python's safetensors 0.8.0 and NumPy 2.4.6, not with PyTorch itself, which is half a gigabyte without the CUDA
libraries that it wants. The bytes are laid out by the same Rust code that safetensors.torch.save_file calls, with the same
names, types and metadata. NumPy has no bfloat16: its bits are the upper half of a float32's, rounded to even.

The values are multiples of 1/8 that every type holds, but for one weight of 1/3 and one bias of 1e-3, which are rounded.
"""

from pathlib import Path

import numpy as np
from safetensors import TensorSpec, serialize

CLASSES, FEATURES = 3, 4

weight = (np.arange(CLASSES * FEATURES, dtype=np.float64).reshape(CLASSES, FEATURES) - 5) / 8
weight[1, 2] = 1 / 3
bias = np.array([-0.5, 1e-3, 2.0])


def bfloat16(values):
    bits = values.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


TYPES = {
    "float16": lambda values: values.astype("<f2"),
    "bfloat16": bfloat16,
    "float64": lambda values: values.astype("<f8"),
    "float32": lambda values: values.astype("<f4"),
    "int64": lambda values: values.astype("<i8"),
}


def tensor(dtype, values):
    return dtype, TYPES[dtype](values)


def save(name, tensors):
    specs = {
        key: TensorSpec(dtype=dtype, shape=values.shape, data_ptr=values.ctypes.data, data_len=values.nbytes)
        for key, (dtype, values) in tensors.items()  # which keeps the values alive
    }
    path = Path(__file__).parent / f"{name}.safetensors"
    path.write_bytes(serialize(specs, {"format": "pt"}))


# model = nn.Sequential(OrderedDict(conv=nn.Conv2d(1, 2, 2), norm=nn.LayerNorm(4), fc=nn.Linear(4, 3))).half()
save(
    "linear_fc_f16",
    {
        "conv.weight": tensor("float16", np.ones((2, 1, 2, 2))),
        "conv.bias": tensor("float16", np.ones(2)),
        "norm.weight": tensor("float16", np.ones(4)),
        "norm.bias": tensor("float16", np.zeros(4)),
        "fc.weight": tensor("float16", weight),
        "fc.bias": tensor("float16", bias),
    },
)
# nn.DataParallel(nn.Linear(4, 3)).bfloat16()
save("linear_module_bf16", {"module.weight": tensor("bfloat16", weight), "module.bias": tensor("bfloat16", bias)})
# A classifier of Dropout, which has no tensors, and BatchNorm1d behind its linear layer: nn.Sequential(...).double()
save(
    "linear_classifier_0_f64",
    {
        "classifier.0.weight": tensor("float64", weight),
        "classifier.0.bias": tensor("float64", bias),
        "classifier.2.weight": tensor("float64", np.ones(3)),
        "classifier.2.bias": tensor("float64", np.zeros(3)),
        "classifier.2.running_mean": tensor("float64", np.zeros(3)),
        "classifier.2.running_var": tensor("float64", np.ones(3)),
        "classifier.2.num_batches_tracked": tensor("int64", np.array(7)),
    },
)
