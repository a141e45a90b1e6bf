"""Data sets: Gaussian, clusters on the sphere, and texts that name data sets."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from rmtsim.data.cifar import Cifar100
from rmtsim.data.clusters import Clusters
from rmtsim.data.datasets import DataLaw, parse_data
from rmtsim.data.gaussian import Gaussian
from rmtsim.data.own_data import OwnData
from rmtsim.errors import InputError
from tests.laws import distance

LAWS: list[DataLaw] = [Gaussian(), Clusters(6), Clusters(2, noise=0.3, scale="standard")]


def chi2_excess(labels: npt.NDArray[np.int64], n_classes: int) -> float:
    """χ² against the uniform law, in standard deviations from its mean."""
    counts = np.bincount(labels, minlength=n_classes)
    chi2 = ((counts - counts.mean()) ** 2).sum() / counts.mean()
    return float((chi2 - (n_classes - 1)) / (2 * (n_classes - 1)) ** 0.5)


def nearest(X: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.argmax(X @ centres.T, axis=1)


def centres_of(n_clusters: int, dim: int, key: str) -> npt.NDArray[np.float64]:
    """The centres, as the points that data without noise consist of."""
    X, _ = Clusters(n_clusters, noise=0.0).draw(1, dim, n_clusters, key)
    return X


@pytest.mark.parametrize("data", LAWS)
def test_samples_are_a_function_of_the_arguments(data: DataLaw) -> None:
    X, y = data.draw(3, 5, 24, "key")
    assert (X.shape, y.shape, X.dtype, y.dtype) == ((24, 5), (24,), np.float64, np.int64)
    for same in (data, pickle.loads(pickle.dumps(data))):
        again = same.draw(3, 5, 24, "key")
        np.testing.assert_array_equal(again[0], X)
        np.testing.assert_array_equal(again[1], y)
    assert pickle.loads(pickle.dumps(data)) == data
    assert len({data, pickle.loads(pickle.dumps(data)), Clusters(99)}) == 2


@pytest.mark.parametrize("data", LAWS)
def test_keys_give_independent_samples(data: DataLaw) -> None:
    N, d = 60, 20
    one, other, same = (data.draw(4, d, N, key)[0].ravel() for key in ("seed 0", "seed 1", "seed 0"))
    independent, control = (distance(one * x, 0.0) for x in (other, same))
    assert independent < 4 < control
    labels = [np.concatenate([data.draw(3, d, 600, f"{i} {j}")[1] for j in range(6)]) for i in (0, 1)]
    assert distance(labels[0] == labels[1], 1 / 3) < 4 < distance(labels[0] == np.minimum(labels[0], 1), 1 / 3)


@pytest.mark.parametrize("data", LAWS)
def test_identities_are_json_and_tell_data_sets_apart(data: DataLaw) -> None:
    assert json.loads(json.dumps(data.parameters())) == data.parameters()
    assert data.parameters()["kind"] == data.name
    assert [other for other in LAWS if other.parameters() == data.parameters()] == [data]


def test_gaussian_data_follow_assumption_1() -> None:
    X, y = Gaussian().draw(7, 50, 2000, "0")
    assert distance(X.ravel(), 0) < 4
    assert distance(X.ravel() ** 2, 1) < 4
    assert distance(X.ravel() ** 4, 3) < 4
    assert distance((X[:, :-1] * X[:, 1:]).ravel(), 0) < 4
    assert distance(X[:, 0] * (y - 3), 0) < 4  # labels know nothing of X
    assert abs(chi2_excess(y, 7)) < 4
    assert chi2_excess(np.where(y == 6, y * (np.arange(len(y)) % 2), y), 7) > 4  # half of a class gone elsewhere
    assert set(y) == set(range(7))


def test_centres_are_uniform_on_the_unit_sphere() -> None:
    d = 16
    draws = np.stack([centres_of(12, d, str(i)) for i in range(200)])
    np.testing.assert_allclose(np.linalg.norm(draws, axis=-1), 1, rtol=1e-14)
    products = draws @ draws.swapaxes(1, 2)
    pairs = products[:, *np.triu_indices(12, 1)]
    assert distance(pairs.mean(axis=1), 0) < 4
    assert distance((pairs**2).mean(axis=1), 1 / d) < 4
    assert distance((pairs**4).mean(axis=1), 3 / (d * (d + 2))) < 4  # not 3/d², as for points near the sphere
    assert distance((pairs**2).mean(axis=1), 1 / (d + 2)) > 4


@pytest.mark.parametrize("scale", ["unit", "standard"])
def test_distances_within_and_between_clusters(scale: str) -> None:
    K, d, noise = 8, 30, 0.1
    s2 = 1.0 if scale == "unit" else d / (1 + d * noise**2)
    within, between, squares = [], [], []
    for i in range(150):
        X, _ = Clusters(K, noise, scale).draw(2, d, 4 * K, str(i))
        of = nearest(X, centres_of(K, d, str(i)))
        assert np.bincount(of, minlength=K).tolist() == [4] * K
        apart = np.sum((X[:, None] - X[None]) ** 2, axis=-1)
        same = of[:, None] == of[None]
        within.append(apart[same & ~np.eye(4 * K, dtype=bool)].mean())
        between.append(apart[~same].mean())
        squares.append(np.mean(X**2))
    assert distance(within, 2 * s2 * d * noise**2) < 4
    assert distance(between, 2 * s2 * (1 + d * noise**2)) < 4
    assert distance(within, 2 * s2 * noise**2) > 4  # noise is of an entry, not of the norm
    assert distance(squares, 1.0 if scale == "standard" else 1 / d + noise**2) < 4


@pytest.mark.parametrize(
    ("n_clusters", "n_classes", "per_class"), [(12, 4, [3] * 4), (4, 4, [1] * 4), (5, 3, [2, 2, 1]), (1, 1, [1])]
)
def test_a_class_is_made_of_whole_clusters(n_clusters: int, n_classes: int, per_class: list[int]) -> None:
    X, y = Clusters(n_clusters, noise=0.0).draw(n_classes, 9, 6 * n_clusters, "0")
    points = [{tuple(x) for x in X[y == c].tolist()} for c in range(n_classes)]
    assert sorted(map(len, points)) == sorted(per_class)
    assert len(set.union(*points)) == n_clusters  # no cluster is in two classes
    assert np.unique(X, axis=0, return_counts=True)[1].tolist() == [6] * n_clusters


@pytest.mark.parametrize(
    ("n_clusters", "n_classes", "per_cluster"), [(2, 6, [3, 3]), (3, 7, [2, 2, 3]), (1, 5, [5]), (4, 5, [1, 1, 1, 2])]
)
def test_few_clusters_hold_several_classes_each(n_clusters: int, n_classes: int, per_cluster: list[int]) -> None:
    X, y = Clusters(n_clusters, noise=0.0).draw(n_classes, 9, 6 * n_classes, "0")
    classes = [{*y[(x == X).all(axis=1)].tolist()} for x in np.unique(X, axis=0)]
    assert sorted(map(len, classes)) == per_cluster
    assert set.union(*classes) == set(range(n_classes))
    assert sum(map(len, classes)) == n_classes  # no class is in two clusters
    assert np.bincount(y).tolist() == [6] * n_classes


def test_labels_of_a_cluster_know_nothing_of_x() -> None:
    X, y = Clusters(1, noise=0.2).draw(2, 5, 4000, "0")
    assert max(distance(X[:, i] * (2 * y - 1), 0) for i in range(5)) < 4
    X, y = Clusters(2, noise=0.2).draw(2, 5, 4000, "0")
    assert max(distance(X[:, i] * (2 * y - 1), 0) for i in range(5)) > 4


def test_samples_are_spread_evenly_and_their_order_is_random() -> None:
    X, y = Clusters(4, noise=0.0).draw(2, 6, 10, "0")
    assert sorted(np.unique(X, axis=0, return_counts=True)[1]) == [2, 2, 3, 3]
    _, y = Clusters(40).draw(10, 6, 20, "0")  # half of the clusters have no sample
    assert np.bincount(y).tolist() == [2] * 10
    assert (np.diff(y) < 0).any()
    first = [Clusters(2).draw(2, 3, 10, str(i))[1][0] for i in range(200)]
    assert distance(first, 0.5) < 4


def test_centres_do_not_depend_on_samples_and_classes() -> None:
    few, many = (np.unique(Clusters(5, noise=0.0).draw(C, 7, N, "0")[0], axis=0) for C, N in ((5, 5), (2, 50)))
    np.testing.assert_array_equal(few, many)
    assert not np.array_equal(few, np.unique(Clusters(5, noise=0.0).draw(5, 7, 5, "1")[0], axis=0))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((0,), "n_clusters: 0 is not valid; give a whole number from 1"),
        ((2.5,), "n_clusters: 2.5"),
        ((3, -0.1), "noise: -0.1 is not valid; give a number from 0"),
        ((3, float("nan")), "noise: nan"),
        ((3, True), "noise: True"),
        ((3, "0.1"), "noise: '0.1'"),
        ((3, 0.1, "big"), "scale: 'big' is not known; choose one of unit, standard"),
    ],
)
def test_bad_clusters_are_refused(arguments: tuple[Any, ...], words: str) -> None:
    with pytest.raises(InputError, match=words):
        Clusters(*arguments)


@pytest.mark.parametrize("data", LAWS)
@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("value", [0, -1, 2.0, True, "3"])
def test_bad_sizes_are_refused(data: DataLaw, place: int, value: Any) -> None:
    sizes: list[Any] = [3, 4, 6]
    sizes[place] = value
    name = ("n_classes", "dim", "n_samples")[place]
    with pytest.raises(InputError, match=f"{name}: {value!r} is not valid; give a whole number"):
        data.draw(*sizes, "0")


def test_texts_name_data_sets() -> None:
    assert parse_data("gaussian") == Gaussian()
    assert parse_data("clusters:20") == Clusters(20)
    assert parse_data("cifar100:a/b") == Cifar100("a/b")
    assert parse_data("a/b.npz") == OwnData("a/b.npz")
    assert parse_data("clusters:20").parameters() != parse_data("clusters:21").parameters()
    assert parse_data("clusters:20:standard:1e-3") == Clusters(20, 1e-3, "standard")
    for text, sentence in (
        ("clusters:0", "n_clusters: 0"),
        ("clusters:3:round:0.1", "scale: 'round' is not known"),
        ("clusters:3:unit:1-1", "noise: nan is not valid"),
    ):
        with pytest.raises(InputError, match=sentence):
            parse_data(text)


def test_texts_are_read_back_and_tell_data_sets_apart() -> None:
    sets = [
        *LAWS,
        Clusters(2),
        Clusters(20),
        Clusters(2, noise=0.1),
        Clusters(2, noise=1e-7),
        Clusters(2, scale="standard"),
    ]
    assert [parse_data(data.text) for data in sets] == sets
    assert len({data.text for data in sets}) == len(sets)
    assert [data.text for data in (Gaussian(), Clusters(20))] == ["gaussian", "clusters:20"]


@pytest.mark.parametrize("data", LAWS)
@pytest.mark.parametrize("sizes", [(3, 5, 0), (0, 5, 24), (3, 2.5, 24)])
def test_checks_are_those_of_draws(data: DataLaw, sizes: tuple[Any, Any, Any]) -> None:
    data.check(3, 5, 24)
    with pytest.raises(InputError) as checked:
        data.check(*sizes)
    with pytest.raises(InputError) as drawn:
        data.draw(*sizes, "0")
    assert str(checked.value) == str(drawn.value)


@pytest.mark.parametrize("text", ["", "gauss", "cluster:3", "a.npy"])
def test_texts_that_name_none_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"choose one of ar1:RHO, cifar100:FOLDER, clusters:K, gaussian, FILE\.npz, "):
        parse_data(text)


@pytest.mark.parametrize(
    "text", ["gaussian:3", "clusters", "clusters:", "clusters:x", "clusters:-1", "cifar100", "cifar100:"]
)
def test_texts_of_a_law_without_its_parameters_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=rf"data: '{text}' is not valid; give (gaussian|clusters:K|cifar100:FOLDER)$"):
        parse_data(text)
