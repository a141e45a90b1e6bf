"""Small files of data that claim to be large: refused in a sentence, with little memory and in little time."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from rmtsim.cli.main import main
from rmtsim.data import pickle_reader
from rmtsim.data.cifar import Cifar100
from rmtsim.data.own_data import OwnData
from rmtsim.data.pickle_reader import Recorded, RefusedError, read_pickle
from rmtsim.errors import InputError
from tests.cifar_archives import published, python2_dumps
from tests.memory_use import little_memory
from tests.tensor_files import header


def archive(path: Path, X: bytes, method: int = zipfile.ZIP_DEFLATED) -> OwnData:
    y = io.BytesIO()
    np.save(y, np.zeros(4, int))
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr("X.npy", X)
        file.writestr("y.npy", y.getvalue())
    return OwnData(str(path))


def test_zeros_that_unpack_to_more_than_a_hundred_times_their_size_are_refused(tmp_path: Path) -> None:
    count = (256 << 20) // 8
    bomb = archive(tmp_path / "bomb.npz", header((count // 64 + 1, 64)) + b"\0" * (count + 64))
    assert os.path.getsize(bomb.path) < 1 << 16
    with (
        little_memory(),
        pytest.raises(InputError, match=r"X: uint8 of shape .* takes .* write it without compression"),
    ):
        bomb.parameters()
    allowed = archive(tmp_path / "allowed.npz", header((4, 64)) + b"\0" * 256)
    assert allowed.sizes() == (1, 64, 4)


@pytest.mark.parametrize(
    "X",
    [
        header((10**6, 10**6)),
        header((10**9, 10**9)) + b"\0" * 100,
        header((10**12, 10**12), "<f8"),
        header((4, 64)) + b"\0" * 255,
        header((4, 64)) + b"\0" * 257,
        header((4, -64)) + b"\0" * 256,
        header((4, 64), "|V1000000000"),
        header((4, 64), "|O") + pickle.dumps([0] * 256),
        header((4, 64))[:-20],
        b"\x93NUMPY\x03\x00" + struct.pack("<I", 4_000_000_000),
        b"\x93NUMPY\x02\x00" + struct.pack("<I", 4_000_000_000),
        b"\x93NUMPY\x07\x00",
    ],
)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_headers_that_claim_what_is_not_there_are_refused(X: bytes, method: int, tmp_path: Path) -> None:
    data = archive(tmp_path / "x.npz", X, method)
    with little_memory(), pytest.raises(InputError, match=r"X: |damaged, or no \.npz file of numbers"):
        data.parameters()


def test_sizes_of_the_archive_s_own_directory_are_not_believed(tmp_path: Path) -> None:
    """A stored array that the directory and the header say is of 8 TB."""
    data = archive(tmp_path / "x.npz", header((4, 64)) + b"\0" * 256, zipfile.ZIP_STORED)
    content = bytearray(Path(data.path).read_bytes())
    entry = content.index(b"PK\x01\x02")
    content[entry + 20 : entry + 28] = struct.pack("<II", 4_000_000_000, 4_000_000_000)
    content[content.index(b"(4, 64)") : content.index(b"(4, 64)") + 17] = b"(31249998, 128),}"[:17]
    (tmp_path / "y.npz").write_bytes(content)
    with little_memory(), pytest.raises(InputError, match=r"X: |damaged"):
        OwnData(str(tmp_path / "y.npz")).parameters()


def test_what_would_not_fit_this_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "x.npz", X=np.ones((1000, 10)), y=np.arange(1000) % 2)
    monkeypatch.setattr("rmtsim.data.own_data.usable_memory", lambda: 100_000)
    with pytest.raises(InputError, match=r"X: float64 of shape \(1000, 10\) .* would hold .* and this machine has"):
        OwnData(str(tmp_path / "x.npz")).parameters()


def test_compressed_data_are_read(tmp_path: Path) -> None:
    X, y = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32), np.arange(40) % 3
    np.savez_compressed(tmp_path / "x.npz", X=X, y=y)
    read, labels = OwnData(str(tmp_path / "x.npz")).draw(3, 8, 40, "0")
    np.testing.assert_array_equal(read, X)
    np.testing.assert_array_equal(labels, y)


PICKLES = {
    "a memo of billions": b"\x80\x04Nr\xff\xff\xff\xff.",
    "text of billions": b"\x80\x04\x8e" + struct.pack("<Q", 2**40),
    "negative text": b"\x80\x02T" + struct.pack("<i", -5) + b"12345.",
    "a frame of billions": b"\x80\x04\x95" + struct.pack("<Q", 2**62) + b"N.",
    "a number of billions of digits": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1),
    "tuples of tuples as keys": b"\x80\x02}" + b")" + b"q\x00h\x00\x86" * 60 + b"Ns.",
    "lists in lists": b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".",
    "tuples in tuples": b"\x80\x02)" + b"\x85" * 300_000 + b".",
    "calls in calls": b"\x80\x02" + b"cnumpy\ndtype\n" * 100_000 + b")R" + b"\x85R" * 99_999 + b".",
    "marks": b"(" * 200_000,
    "no stack": b"\x80\x020.",
    "a mark that is not there": b"\x80\x02t.",
    "below a mark": b"\x80\x02](a.",
    "a list of itself": b"\x80\x02]q\x00h\x00a.",
    "a line without an end": b"I" + b"9" * 2_000_000,
    "many digits": b"I" + b"9" * 5000 + b"\n.",
    "nothing but steps": b"N0" * 300_000,
    "a state of a name": b"\x80\x02cnumpy\nndarray\n}b.",
    "a call of a list": b"\x80\x02])R.",
    "a call without a tuple": b"\x80\x02cnumpy\ndtype\n]R.",
}


@pytest.mark.parametrize("name", PICKLES)
def test_pickles_that_are_bombs_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "nothing but steps":
        monkeypatch.setattr(pickle_reader, "MOST_STEPS", 100_000)
    (tmp_path / "train").write_bytes(PICKLES[name])
    with pytest.raises(InputError, match=r"tar\.gz unpacks to"):
        Cifar100(str(tmp_path)).parameters()


@pytest.mark.parametrize("name", ["a memo of billions", "text of billions", "a frame of billions", "a list of itself"])
def test_pickles_take_no_memory_that_their_file_has_not(name: str) -> None:
    with little_memory(1 << 20), suppress(ValueError):
        read_pickle(PICKLES[name], ())


def test_the_reader_agrees_with_python_s() -> None:
    plain = {"a": [1, -1, 2**40, -(2**70), 0.5, True, None, (), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)], "b": "ü" * 300}
    plain["again"] = plain["a"]
    for protocol in (2, 3, 4):
        written = pickle.dumps(plain, protocol)
        assert read_pickle(written, ()) == pickle.loads(written), protocol
    content = {key: value for key, value in published(3).items() if key != b"data"}
    for written in (python2_dumps(content), pickle.dumps(content, 4)):
        assert read_pickle(written, ()) == content


def test_names_are_recorded_or_refused() -> None:
    made = read_pickle(pickle.dumps(np.dtype("u1"), 2), {"numpy.dtype"})
    assert isinstance(made, Recorded)
    assert (made.name, made.arguments[0]) == ("numpy.dtype", "u1")
    with pytest.raises(RefusedError, match=r"it asks to run os\.system, which no published file does"):
        read_pickle(b"cos\nsystem\n(Vls\ntR.", {"numpy.dtype"})


@pytest.mark.parametrize(
    ("make", "data"),
    [
        (lambda path: os.mkfifo(path / "x.npz"), "x.npz"),
        (lambda path: (path / "x.npz").mkdir(), "x.npz"),
        (lambda path: (path / "x.npz").symlink_to("/dev/zero"), "x.npz"),
        (lambda path: os.mkfifo(path / "train"), "cifar100:"),
        (lambda path: (path / "train").mkdir(), "cifar100:"),
        (lambda path: (path / "train").symlink_to("/dev/zero"), "cifar100:"),
    ],
)
def test_data_are_regular_files(
    make: Callable[[Path], object], data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make(tmp_path)
    where = f"{data}{tmp_path}" if data.endswith(":") else str(tmp_path / data)
    spec = tmp_path / "spec.toml"
    sizes = "n_classes = [100]\ndim = [3072]\nn_samples = [4]\nhidden = [[]]\n"
    spec.write_text(f'name = "a"\nloss = ["ce"]\n[grid]\n{sizes}data = ["{where}"]\n[training]\nsteps = 0\n')
    assert main(["run", str(spec), "--store", str(tmp_path / "store")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()
