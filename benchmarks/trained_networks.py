"""Trained networks that Python packages bring: the weights of their last layers, and features of inputs made here.

A network in ONNX is cut before its last matrix product: what goes into that product are the features. Nothing of a
package is imported but its files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class TrainedHead:
    """The last layer of a network, and what it was given for some inputs.

    Attributes
    ----------
    V, bias, X
        Weights (C, d), bias (C,) and features (M, d).
    labels
        The classes that the network is right to predict, (M,), where they are known.
    """

    V: Array
    bias: Array
    X: Array
    labels: Array | None = None

    def logits(self) -> Array:
        """Return the logits of all samples, (M, C)."""
        return self.X @ self.V.T + self.bias


@dataclass(frozen=True)
class Network:
    """A network of a package.

    Attributes
    ----------
    name, about
        The package, and what the network and the inputs are.
    packages
        What has to be installed, as modules are named.
    features
        Of the number of samples: the head with at least so many.
    """

    name: str
    about: str
    packages: tuple[str, ...]
    features: Callable[[int], TrainedHead]

    @property
    def lacking(self) -> list[str]:
        """The packages that are not installed."""
        return [name for name in self.packages if find_spec(name) is None]


def _folder(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    return Path(next(iter(spec.submodule_search_locations)))


class CutNetwork:
    """A network in ONNX that gives the features of its last layer, too.

    Parameters
    ----------
    path
        Its file. The last product by constant weights is taken for the head's, and the next sum for that of the bias.
    """

    def __init__(self, path: Path) -> None:
        import onnx
        import onnxruntime
        from onnx.numpy_helper import to_array

        model = onnx.load(str(path))
        nodes, constants = list(model.graph.node), {tensor.name: tensor for tensor in model.graph.initializer}
        for node in nodes:
            if node.op_type == "Constant":
                constants[node.output[0]] = node.attribute[0].t
        at, node = next(
            (at, node)
            for at, node in reversed(list(enumerate(nodes)))
            if node.op_type in ("Gemm", "MatMul") and node.input[1] in constants
        )
        features, weights = node.input[:2]
        V = to_array(constants[weights])
        turned = any(a.name == "transB" and a.i for a in node.attribute)
        self.V: Array = V if turned else V.T
        if node.op_type == "Gemm":
            bias = node.input[2]
        else:
            added = next(other for other in nodes[at:] if other.op_type == "Add" and node.output[0] in other.input)
            bias = next(name for name in added.input if name in constants)
        self.bias: Array = to_array(constants[bias]).reshape(-1)
        output = onnx.ValueInfoProto()
        output.name = features
        self._names = [features, model.graph.output[0].name]
        model.graph.output.append(output)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
        self._input = model.graph.input[0].name

    def run(self, inputs: Array) -> Array:
        """Return the features (M, d), after a check that head and features make what the network itself gives."""
        X, found = self._session.run(self._names, {self._input: inputs})
        X, found = X.reshape(-1, self.V.shape[1]), found.reshape(-1, self.V.shape[0])
        logits = X @ self.V.T + self.bias
        scores = found if np.any(found < 0) or np.any(found > 1) else None
        expected = logits if scores is not None else _softmax(logits)
        if np.max(np.abs(expected - found)) > 1e-3 * max(1.0, float(np.max(np.abs(found)))):
            raise RuntimeError("the features and the head do not make the output of the network")
        return X


def _softmax(logits: Array) -> Array:
    p: Array = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def _lines_of_words(count: int) -> Iterator[str]:
    """Yield lines of Chinese words, drawn by their frequencies in the dictionary of jieba."""
    lines = (_folder("jieba") / "dict.txt").read_text("utf-8").splitlines()
    words, weights = zip(*((line.split()[0], int(line.split()[1])) for line in lines), strict=True)
    shares = np.array(weights, float) / sum(weights)
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield "".join(words[k] for k in rng.choice(len(words), 5, p=shares))


def _picture(text: str, height: int) -> Array:
    """Return a line of text, black on white, (height, width) from 0 to 255."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.truetype(str(_folder("mplfonts") / "fonts" / "NotoSansCJKsc-Regular.otf"), int(0.68 * height))
    width = int(font.getlength(text)) + height // 2
    picture = Image.new("L", (width, height), 255)
    ImageDraw.Draw(picture).text((height // 4, 0), text, font=font, fill=0)
    return np.asarray(picture, np.float32)


def _recognised(path: Path, height: int, channels: int, count: int) -> TrainedHead:
    network, found, total = CutNetwork(path), [], 0
    for text in _lines_of_words(count):
        picture = _picture(text, height) / 127.5 - 1
        found.append(network.run(np.broadcast_to(picture, (1, channels, *picture.shape)).copy()))
        total += len(found[-1])
        if total >= count:
            break
    return TrainedHead(network.V, network.bias, np.concatenate(found))


def _dddd(count: int) -> TrainedHead:
    return _recognised(_folder("ddddocr") / "common.onnx", 64, 1, count)


def _pp_ocr(count: int) -> TrainedHead:
    models = _folder("rapidocr_onnxruntime") / "models"
    return _recognised(models / "ch_PP-OCRv4_rec_infer.onnx", 48, 3, count)


def _magika(count: int) -> TrainedHead:
    folder = _folder("magika") / "models" / "standard_v3_3"
    about = json.loads((folder / "config.min.json").read_text())
    network, block, padding = CutNetwork(folder / "model.onnx"), about["block_size"], about["padding_token"]

    def tokens(path: Path) -> list[int]:
        with path.open("rb") as file:
            start = file.read(block).lstrip()[: about["beg_size"]]
            file.seek(max(0, path.stat().st_size - block))
            end = file.read(block).rstrip()[-about["end_size"] :]
        fill = [padding] * (about["beg_size"] - len(start)), [padding] * (about["end_size"] - len(end))
        return [*start, *fill[0], *fill[1], *end]

    rows = [tokens(path) for path in _files(count)]
    parts = [network.run(np.array(rows[k : k + 64], np.int32)) for k in range(0, len(rows), 64)]
    return TrainedHead(network.V, network.bias, np.concatenate(parts))


def _files(count: int) -> list[Path]:
    """Return files of this Python, as many of each kind as there are, in turn."""
    kinds: dict[str, list[Path]] = {}
    for path in sorted(Path(json.__file__).parents[1].rglob("*")) + sorted(_folder("numpy").parent.rglob("*")):
        if path.is_file() and path.stat().st_size >= 64:
            kinds.setdefault(path.suffix, []).append(path)
    rng = np.random.default_rng(0)
    shuffled = [[paths[k] for k in rng.permutation(len(paths))] for paths in kinds.values()]
    found: list[Path] = []
    for turn in range(count):
        found += [paths[turn] for paths in shuffled if turn < len(paths)]
        if len(found) >= count:
            break
    return found[:count]


def _textgenrnn(count: int) -> TrainedHead:
    """Run the network in NumPy: an embedding, two LSTMs, and a mean over positions with weights of its own."""
    from pydoc_data.topics import topics

    import h5py

    folder = _folder("textgenrnn")
    numbers = json.loads((folder / "textgenrnn_vocab.json").read_text())
    with h5py.File(folder / "textgenrnn_weights.hdf5") as file:
        get = {name: np.asarray(file[name]) for name in _names(file)}
    text = " ".join(" ".join(topics.values()).split())
    codes = np.array([numbers[letter] for letter in text if letter in numbers])
    length = 40
    places = np.random.default_rng(0).choice(len(codes) - length, count, replace=False)
    embedded = get["embedding/embedding/embeddings:0"][codes[places[:, None] + np.arange(length)]]
    first = _lstm(embedded, *(get[f"rnn_1/rnn_1/{name}:0"] for name in ("kernel", "recurrent_kernel", "bias")))
    second = _lstm(first, *(get[f"rnn_2/rnn_2/{name}:0"] for name in ("kernel", "recurrent_kernel", "bias")))
    layers = np.concatenate([embedded, first, second], axis=2)
    attention = _softmax((layers @ get["attention/attention/attention_W:0"])[:, :, 0])
    X = np.einsum("nt,ntd->nd", attention, layers)
    V, bias = get["output/output/kernel:0"].T, get["output/output/bias:0"]
    return TrainedHead(np.ascontiguousarray(V), bias, X, codes[places + length])


def _names(file: Any) -> list[str]:
    found: list[str] = []
    file.visit(lambda name: found.append(name) if name.endswith(":0") else None)
    return found


def _lstm(inputs: Array, kernel: Array, recurrent: Array, bias: Array) -> Array:
    """Return the outputs of an LSTM whose weights are stored as cuDNN has them: each gate transposed, two biases."""
    units = recurrent.shape[0]
    gates = [gate.T.reshape(gate.shape, order="F") for gate in np.split(kernel, 4, axis=1)]
    kernel, recurrent = np.hstack(gates), np.hstack([gate.T for gate in np.split(recurrent, 4, axis=1)])
    bias = bias[: 4 * units] + bias[4 * units :]
    n_samples, length, _ = inputs.shape
    hidden = cell = np.zeros((n_samples, units), np.float32)
    outputs = np.empty((n_samples, length, units), np.float32)
    for step in range(length):
        i, f, c, o = np.split(inputs[:, step] @ kernel + hidden @ recurrent + bias, 4, axis=1)
        cell = _logistic(f) * cell + _logistic(i) * np.tanh(c)
        hidden = outputs[:, step] = _logistic(o) * np.tanh(cell)
    return outputs


def _logistic(x: Array) -> Array:
    return 0.5 * (1 + np.tanh(0.5 * x))


NETWORKS = (
    Network(
        "ddddocr",
        "a recogniser of characters (an LSTM at the end), on pictures of Chinese words drawn by their frequency; a "
        "sample is a position in a picture",
        ("ddddocr", "onnx", "onnxruntime", "PIL", "jieba", "mplfonts"),
        _dddd,
    ),
    Network(
        "PP-OCRv4",
        "a recogniser of characters (a transformer at the end), on the same words",
        ("rapidocr_onnxruntime", "onnx", "onnxruntime", "PIL", "jieba", "mplfonts"),
        _pp_ocr,
    ),
    Network(
        "magika",
        "a classifier of kinds of files, on the files of this Python, as many of each suffix",
        ("magika", "onnx", "onnxruntime"),
        _magika,
    ),
    Network(
        "textgenrnn",
        "a language model of characters, on the English of Python's manual; a sample is a place in the text",
        ("textgenrnn", "h5py"),
        _textgenrnn,
    ),
)
