"""CIFAR-100 from a file of the published format, which the tests write themselves; and from files of other kinds."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmtsim.data.cifar import Cifar100, _load
from rmtsim.errors import InputError
from tests.cifar_archives import published, python2_dumps, write


def test_the_test_writes_python_2_s_pickles() -> None:
    """The names, and no opcode of a later protocol: what NumPy itself reads as the published files are read."""
    written = python2_dumps(published(2))
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in written
    assert b"cnumpy\ndtype\n" in written
    assert b"_codecs" not in written
    assert written[:2] == b"\x80\x02"
    content = pickle.loads(written, encoding="bytes")
    np.testing.assert_array_equal(content[b"data"], published(2)[b"data"])


@pytest.mark.parametrize("protocol", [None, 3, 4])
def test_images_and_labels_are_those_of_the_file(tmp_path: Path, protocol: int | None) -> None:
    content = published()
    data = write(tmp_path, content, python2_dumps if protocol is None else lambda value: pickle.dumps(value, protocol))
    X, y = data.draw(100, 3072, 40, "all")
    np.testing.assert_allclose(X, 2 * (content[b"data"] / 255) - 1, atol=1e-15)
    assert y.tolist() == content[b"fine_labels"]
    assert data.draw(20, 3072, 40, "all")[1].tolist() == content[b"coarse_labels"]
    assert (X.dtype, y.dtype) == (np.float64, np.int64)


def test_an_array_in_fortran_order_is_read_in_its_own(tmp_path: Path) -> None:
    content = published()
    X, _ = write(tmp_path, {**content, b"data": np.asfortranarray(content[b"data"])}).draw(100, 3072, 40, "all")
    np.testing.assert_array_equal(X, write(tmp_path / "c", content).draw(100, 3072, 40, "all")[0])


def test_some_images_are_drawn_without_replacement(tmp_path: Path) -> None:
    content = published()
    data = write(tmp_path, content)
    X, y = data.draw(100, 3072, 25, "a")
    rows = [tuple(row) for row in np.rint((X + 1) * 127.5).astype(int).tolist()]
    where = {tuple(row): i for i, row in enumerate(content[b"data"].tolist())}
    places = [where[row] for row in rows]
    assert len(set(places)) == 25
    assert [content[b"fine_labels"][place] for place in places] == y.tolist()
    np.testing.assert_array_equal(data.draw(100, 3072, 25, "a")[0], X)
    assert not np.array_equal(data.draw(100, 3072, 25, "b")[0], X)


def test_channels_are_normalised_by_the_file_s_own_constants(tmp_path: Path) -> None:
    content = published()
    content[b"data"][:, 1024:2048] //= 2  # green unlike red and blue
    write(tmp_path, content)
    images = Cifar100(str(tmp_path), "channel").draw(100, 3072, 40, "all")[0].reshape(40, 3, 32, 32)
    np.testing.assert_allclose(images.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(images.std(axis=(0, 2, 3)), 1, rtol=1e-12)
    assert abs(images[:, :2].mean(axis=(0, 1))).max() > 1e-3  # not image by image, nor pixel by pixel
    plain = Cifar100(str(tmp_path), "none").draw(100, 3072, 40, "all")[0]
    assert (plain.min(), plain.max()) == (0.0, 1.0)
    some = Cifar100(str(tmp_path), "channel").draw(100, 3072, 5, "some")[0]
    assert {*some[:, 0].tolist()} <= {*images[:, 0, 0, 0].tolist()}  # the constants of the file, not of the choice


def test_identity_is_the_content_not_the_place(tmp_path: Path) -> None:
    one = write(tmp_path / "one", published())
    other = write(tmp_path / "two", published(), lambda value: pickle.dumps(value, 4))
    assert one.parameters() == other.parameters()
    assert "one" not in str(one.parameters())
    content = published()
    content[b"data"][3, 7] ^= 1
    assert write(tmp_path / "three", content).parameters() != one.parameters()
    assert Cifar100(one.folder, "channel").parameters() != one.parameters()


def test_a_file_written_anew_is_read_anew(tmp_path: Path) -> None:
    before = write(tmp_path, published(40)).parameters()
    assert write(tmp_path, published(41)).parameters() != before


class Runs:
    """What a pickle can make Python call."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


@pytest.mark.parametrize("protocol", [None, 0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path: Path, protocol: int | None) -> None:
    def dumps(content: Any) -> bytes:
        return python2_dumps(content) if protocol is None else pickle.dumps(content, protocol)

    trace = tmp_path / "trace"
    hostile = {"data": Runs(os.system, f"touch {trace}")}
    with pytest.raises(InputError, match=r"posix\.system, which no published file does and which was not run"):
        write(tmp_path / "folder", hostile, dumps).draw(100, 3072, 1, "0")
    assert not trace.exists()
    pickle.loads(dumps(hostile))  # the same file, read as any pickle is
    assert trace.exists()


@pytest.mark.parametrize("call", [(eval, "1"), (getattr, 1, "real"), (np.load, "x"), (dict,)])
def test_no_other_name_is_looked_up(tmp_path: Path, call: tuple[Any, ...]) -> None:
    with pytest.raises(InputError, match=rf"{call[0].__name__}, which no published file does and which was not run"):
        write(tmp_path, pickle.dumps(published(2, extra=Runs(*call)), 4)).parameters()


def test_a_state_given_to_what_records_arrays_changes_nothing(tmp_path: Path) -> None:
    """Opcodes that set attributes of the objects that names stand for."""
    attack = b"\x80\x02cnumpy\nndarray\nN}U\x09argumentsK\x01s\x86b."
    with pytest.raises(InputError):
        write(tmp_path / "a", attack).parameters()
    assert write(tmp_path / "b", published()).draw(100, 3072, 40, "all")[0].shape == (40, 3072)


WORDS = "cifar-100-python.tar.gz unpacks to"
BAD = [
    ({"data": None}, "has no b'data'"),
    ({"fine_labels": None}, "has no b'fine_labels'"),
    ({"fine_labels": None, "coarse_labels": None, "labels": [1] * 4}, "has no b'fine_labels', b'coarse_labels'"),
    ({"data": np.zeros((4, 3071), np.uint8)}, r"not an array of bytes of shape \(n, 3072\)"),
    ({"data": np.zeros((4, 3, 1024), np.uint8)}, "not an array of bytes"),
    ({"data": np.zeros((0, 3072), np.uint8)}, "not an array of bytes"),
    ({"data": np.zeros((4, 3072))}, "not an array of bytes"),
    ({"data": np.zeros((4, 3072), np.int8)}, "not an array of bytes"),
    ({"data": [[0] * 3072] * 4}, "not an array of bytes"),
    ({"fine_labels": [1] * 3}, "no list of 4 labels from 0 to 99"),
    ({"fine_labels": [1, 2, 3, 100]}, "no list of 4 labels from 0 to 99"),
    ({"coarse_labels": [1, 2, 3, -1]}, "no list of 4 labels from 0 to 19"),
    ({"coarse_labels": [1, 2, 3, b"x"]}, "no list of 4 labels from 0 to 19"),
]


@pytest.mark.parametrize(("changes", "words"), BAD)
def test_a_file_of_another_content_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        write(tmp_path, published(4, **changes)).draw(100, 3072, 1, "0")
    assert WORDS in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"what is this?", b"\x80\x02]q\x00.", b"\x1f\x8b\x08\x00", b"\x80\x02K\x01."])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InputError, match=WORDS):
        write(tmp_path, content).draw(100, 3072, 1, "0")


def test_a_damaged_file_is_refused_or_read(tmp_path: Path) -> None:
    whole = python2_dumps(published(1))
    pixels = whole.index(published(1)[b"data"].tobytes())
    places = [i for i in range(len(whole)) if not pixels <= i < pixels + 3072]
    told = 0
    for place in places[::3]:
        for content in (whole[:place], whole[:place] + bytes([whole[place] ^ 0x41]) + whole[place + 1 :]):
            _load.cache_clear()  # times of files are too coarse to tell these apart
            try:
                write(tmp_path, content).draw(100, 3072, 1, "0")
            except InputError:
                told += 1
    assert told > len(places[::3])  # each truncated file, and some of the others


@pytest.mark.parametrize("name", ["absent", "archive.tar.gz", "empty", "nul\0"])
def test_an_absent_folder_or_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "archive.tar.gz").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=WORDS):
        Cifar100(str(tmp_path / name)).parameters()


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ((10, 3072, 4), "100 classes, or 20 coarse"),
        ((100, 64, 4), "3072 numbers"),
        ((100, 3072, 41), "has 40 samples"),
        ((100, 3072, 0), "n_samples: 0"),
        ((100.0, 3072, 4), "n_classes: 100.0"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path: Path, sizes: tuple[int, int, int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        write(tmp_path, published()).draw(*sizes, "0")


def test_a_normalisation_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="choose one of half, channel, none"):
        Cifar100(str(tmp_path), "imagenet")
    write(tmp_path, published(data=np.zeros((40, 3072), np.uint8)))
    with pytest.raises(InputError, match="'channel' is not valid where one is constant"):
        Cifar100(str(tmp_path), "channel").draw(100, 3072, 4, "0")
