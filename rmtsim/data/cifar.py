"""CIFAR-100 (Krizhevsky 2009) from a local folder in its published Python format, for the paper's Figure 1."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rmtsim.data.datasets import DataLaw, register_data
from rmtsim.data.labelled import Samples, check_count, check_sizes, choose, content_hash, keyed, stamp, unreadable
from rmtsim.data.pickle_reader import Recorded, RefusedError, read_pickle
from rmtsim.errors import InputError
from rmtsim.files.regular_files import open_regular
from rmtsim.text.checks import check_choice

#: Normalisation → mean and standard deviation; None: those of the file.
_CONSTANTS = {"half": (0.5, 0.5), "channel": None, "none": (0.0, 1.0)}
NORMALISATIONS = tuple(_CONSTANTS)

CHANNELS, PIXELS = 3, 32 * 32
DIM = CHANNELS * PIXELS

#: Name of the labels with C classes, by C.
_LABELS = {100: "fine_labels", 20: "coarse_labels"}

_WANTED = "give as FOLDER the folder cifar-100-python that the published cifar-100-python.tar.gz unpacks to"


@register_data
@dataclass(frozen=True)
class Cifar100(DataLaw):
    """Images of the training set of CIFAR-100, 32 × 32 pixels in three channels, d = 3072.

    Labels are the 100 fine ones, or the 20 coarse ones where C = 20. An image is a row of X: the red channel row by
    row, then the green, then the blue, scaled to [0, 1] and normalised by (x − mean)/std of the channel.

    Parameters
    ----------
    folder
        The unpacked ``cifar-100-python``; its file ``train`` is read, when it is first needed. The file is a pickle,
        which could run any code. Our own reader (`rmtsim.data.pickle_reader`) looks up no names, so this one cannot.
    normalisation
        ``"half"``: mean and std ½ in each channel, so x lies in [−1, 1], as in the code that the paper's authors
        published; ``"channel"``: mean and std of the channel over the file; ``"none"``.

    Raises
    ------
    InputError
        If the normalisation is not known.
    """

    name, form = "cifar100", "cifar100:FOLDER"

    folder: str
    normalisation: str = "half"

    def __post_init__(self) -> None:
        object.__setattr__(self, "folder", os.fspath(self.folder))
        check_choice("normalisation", self.normalisation, NORMALISATIONS)

    def __reduce__(self) -> tuple[type[Cifar100], tuple[str, str]]:
        """Travel to other processes, whose working directory may be another, with the whole path."""
        return Cifar100, (os.path.abspath(self.folder), self.normalisation)

    @classmethod
    def parse(cls, text: str) -> Cifar100 | None:
        """Return the data set for ``cifar100:FOLDER``."""
        name, _, folder = text.partition(":")
        return cls(folder) if name == cls.name and folder else None

    @property
    def label(self) -> str:
        """Description in titles of figures."""
        return "random images of CIFAR-100"

    @property
    def text(self) -> str:
        """Kind, normalisation and the first digits of the images' hash, as in ``cifar100:half@1f0c9a2b``."""
        return f"{self.name}:{self.normalisation}@{self.parameters()['sha256'][:8]}"

    def check(self, n_classes: int, dim: int, n_samples: int) -> None:
        """Raise InputError if the file cannot be read, holds something else, or C, d or N do not fit it."""
        check_sizes(n_classes, dim, n_samples)
        if n_classes not in _LABELS:
            raise InputError(f"n_classes: {n_classes} is not valid; CIFAR-100 has 100 classes, or 20 coarse ones")
        if dim != DIM:
            raise InputError(f"dim: {dim} is not valid; an image of CIFAR-100 has {DIM} numbers, so give that")
        check_count(len(self._images.data), n_samples, self._file)

    def parameters(self) -> dict[str, Any]:
        """Return kind, normalisation and hash of images and labels, wherever the folder is.

        Raises
        ------
        InputError
            If there is no such file, or it holds something else.
        """
        sha256 = _hash(self._file, stamp(self._file, _WANTED))
        return {"kind": self.name, "normalisation": self.normalisation, "sha256": sha256}

    def draw(self, n_classes: int, dim: int, n_samples: int, key: str) -> Samples:
        """Return X (N, 3072) and y (N,): N images, drawn without replacement, or all in the file's order.

        Raises
        ------
        InputError
            As ``check`` does.
        """
        self.check(n_classes, dim, n_samples)
        images = self._images
        rows = choose(len(images.data), n_samples, keyed(self.name, "choice", key))
        mean, std = _CONSTANTS[self.normalisation] or _channel_constants(images.data, self._file)
        X = images.data[rows].reshape(n_samples, CHANNELS, PIXELS) / 255.0
        X -= mean
        X /= std
        return X.reshape(n_samples, DIM), getattr(images, _LABELS[n_classes])[rows]

    @property
    def _images(self) -> _Images:
        return _load(self._file, stamp(self._file, _WANTED))

    @property
    def _file(self) -> str:
        return os.path.join(self.folder, "train")


class _Images(NamedTuple):
    data: npt.NDArray[np.uint8]  #: (n, 3072)
    fine_labels: npt.NDArray[np.int64]  #: (n,), 0 to 99
    coarse_labels: npt.NDArray[np.int64]  #: (n,), 0 to 19


#: What NumPy has called the parts of a pickled array.
_NAMES = frozenset(
    {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct", "numpy.ndarray", "numpy.dtype"}
)

#: Bytes of a file, at most; the published one has 155 million.
_MOST_BYTES = 1 << 30


@lru_cache(maxsize=1)
def _load(path: str, stamp: tuple[int, int]) -> _Images:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > _MOST_BYTES:
                raise unreadable(path, f"it has more than {_MOST_BYTES >> 20} MiB", _WANTED)
            content = read_pickle(file.read(_MOST_BYTES), _NAMES)
    except (OSError, RefusedError) as error:
        raise unreadable(path, getattr(error, "strerror", None) or str(error), _WANTED) from error
    except InputError:
        raise
    except (ValueError, LookupError) as error:
        raise unreadable(path, "it is damaged, or no pickle", _WANTED) from error
    needed = (b"data", *(name.encode() for name in _LABELS.values()))
    absent = [repr(key) for key in needed if not isinstance(content, dict) or key not in content]
    if absent:
        raise InputError(f"data: {path} has no {', '.join(absent)}; {_WANTED}")
    data = _as_array(content[b"data"])
    if data is None:
        raise InputError(f"data: b'data' of {path} is not an array of bytes of shape (n, {DIM}); {_WANTED}")
    labels = [_as_labels(content[name.encode()], len(data), C, name, path) for C, name in _LABELS.items()]
    return _Images(data, *labels)


@lru_cache(maxsize=1)
def _hash(path: str, stamp: tuple[int, int]) -> str:
    return content_hash(*_load(path, stamp))


def _as_array(recorded: Any) -> npt.NDArray[np.uint8] | None:
    """Return the array (n, 3072) that a recorded state (version, shape, dtype, whether in Fortran order, bytes) is."""
    match recorded:
        case Recorded(state=(int(), (int(n), int(d)), Recorded(arguments=(b"u1" | "u1", *_)), fortran, bytes(raw))):
            if n > 0 and d == DIM and len(raw) == n * DIM:
                return np.frombuffer(raw, np.uint8).reshape((n, DIM), order="F" if fortran else "C")
    return None


def _as_labels(labels: Any, n: int, n_classes: int, name: str, path: str) -> npt.NDArray[np.int64]:
    if not (
        isinstance(labels, list)
        and len(labels) == n
        and all(isinstance(label, int) and 0 <= label < n_classes for label in labels)
    ):
        raise InputError(f"data: b'{name}' of {path} is no list of {n} labels from 0 to {n_classes - 1}; {_WANTED}")
    return np.array(labels, dtype=np.int64)


def _channel_constants(
    data: npt.NDArray[np.uint8], path: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and standard deviation of each channel, (3, 1), of values in [0, 1]."""
    channels = data.reshape(-1, CHANNELS, PIXELS)
    count = 255.0 * len(data) * PIXELS
    mean = channels.sum(axis=(0, 2), dtype=np.int64)[:, None] / count
    squares = np.einsum("ncp,ncp->c", channels, channels, dtype=np.int64)[:, None] / (255.0 * count)
    std = np.sqrt(np.maximum(squares - mean**2, 0.0))
    if (std < 1e-6).any():
        raise InputError(f"normalisation: 'channel' is not valid where one is constant, as in {path}; give 'half'")
    return mean, std
