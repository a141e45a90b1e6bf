"""Pictures on images, on a user's own data and on clusters; and what is said of clusters."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from rmtsim.data.clusters import Clusters
from rmtsim.errors import InputError
from rmtsim.figures.parts import join_parts
from rmtsim.figures.registry import draw
from rmtsim.paper.clustered.networks import clustered, fig11, fig12
from rmtsim.paper.clustered.ratios import cluster_ratios, factors, structures
from rmtsim.paper.clustered.report import verdicts
from rmtsim.paper.fig1 import Fig1
from rmtsim.paper.hessian_pictures import data_norms_task, picture_task, simulated_norms_task
from rmtsim.paper.norm_shares import shares
from rmtsim.sweeps.experiment import table_file
from rmtsim.sweeps.table_runner import run_tables
from rmtsim.theory import finite
from rmtsim.training.problem import Problem
from tests.cifar_archives import published, write
from tests.figures import headline_of, text_of
from tests.hessian_norms import SMALL, block_norms, parts, table_of
from tests.synthetic import quick


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rmtsim.paper.clustered.ratios.finite", quick(finite))


def wide(table: pd.DataFrame) -> pd.DataFrame:
    norms = table[table["quantity"].isin(["diag_sqfro", "offdiag_sqfro"])]
    return norms.pivot_table(index=["draw", "layer", "other"], columns="quantity", values="value").sort_index()


@pytest.mark.parametrize("data", [Clusters(4), Clusters(4, scale="standard")])
def test_norms_are_those_of_the_matrix(tmp_path: Path, data: Clusters) -> None:
    problem = Problem("ce", 4, 5, 20, (3,), data=data)
    found = shares(table_of(tmp_path, data_norms_task("x", {"x": problem}, range(2, 3)))).set_index("share")
    for share, (part, whole) in parts(block_norms(problem, 2), 3).items():
        assert found.loc[share, "value"] == pytest.approx(part / whole, abs=1e-12)


def test_norms_of_gaussian_data_are_those_of_the_sweeps(tmp_path: Path) -> None:
    ours = table_of(tmp_path, data_norms_task("x", {"x": SMALL}, range(1, 4)))
    theirs = table_of(tmp_path, simulated_norms_task("x", SMALL, draws=4))
    pd.testing.assert_frame_equal(wide(ours), wide(theirs), rtol=1e-10)


def test_cifar_100_from_a_file_of_the_published_format(tmp_path: Path) -> None:
    write(tmp_path / "images", published(130))
    experiment = Fig1().tables(data=str(tmp_path / "images"))
    picture, norms = experiment.tasks
    sizes = {"n_classes": 100, "dim": 3072, "n_samples": 128, "hidden": [8], "loss": "ce"}
    assert sizes.items() <= picture.parameters.items()
    assert sizes.items() <= norms.parameters["cases"]["CIFAR-100"].items()
    assert table_file(picture) == table_file(Fig1().tables(data=f"cifar100:{tmp_path / 'images'}").tasks[0])
    content = published(130)
    content[b"data"][3, 7] ^= 1
    write(tmp_path / "others", content)
    assert table_file(picture) != table_file(Fig1().tables(data=str(tmp_path / "others")).tasks[0])


def test_a_user_s_own_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 6)), rng.integers(5, size=50)
    y[:5] = range(5)
    path = tmp_path / "mine.npz"
    np.savez(path, X=X, y=y)
    experiment = Fig1().tables(data=str(path))
    parameters = experiment.tasks[0].parameters
    assert [parameters[k] for k in ("n_classes", "dim", "n_samples")] == [5, 6, 50]
    run_tables(experiment, tmp_path / "store")
    table = experiment.read(tmp_path / "store")
    found = shares(table).set_index("share")
    assert (found["draws"] == 32).all()
    assert found["theory"].isna().all()
    numbers = Fig1().numbers(table)
    figure = Fig1().plot(numbers)
    assert "50 samples of the user's own data" in figure.get_suptitle()
    assert f"hidden layer {100 * found.loc['hidden', 'value']:.1f}"[:-1] in Fig1().headline(numbers)
    np.savez(path, X=np.tile(X, (4, 1)), y=np.tile(y, 4))
    assert Fig1().tables(data=str(path)).tasks[0].parameters["n_samples"] == 128


def test_bad_data_are_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "mine.npz")
    with pytest.raises(InputError, match="give --data FOLDER"):
        Fig1().experiment()
    with pytest.raises(InputError, match=r"cifar-100-python\.tar\.gz unpacks to"):
        Fig1().tables(data=str(tmp_path / "absent"))
    with pytest.raises(InputError, match="give clusters:K"):
        Fig1().tables(data="clusters:many")
    with pytest.raises(InputError, match=r"numpy\.savez"):
        Fig1().tables(data=path)
    np.savez(path, X=np.ones((4, 3)), y=np.zeros(4, int))
    with pytest.raises(InputError, match="at least 2 classes"):
        Fig1().tables(data=path)
    np.savez(path, X=np.ones((4, 3)), y=[0, 1, 2, 10**6])
    with pytest.raises(InputError, match="Hessian of order 8000032; give"):
        Fig1().tables(data=path)
    for size in (1e200, 0.0):
        np.savez(path, X=np.full((4, 3), size), y=[0, 1, 2, 1])
        with pytest.raises(InputError, match=f"largest entry of .* is {re.escape(f'{size:g}')} in size"):
            Fig1().tables(data=path)


@pytest.mark.parametrize("size", [1e50, 1e-50])
def test_the_largest_and_the_smallest_of_a_user_s_data_have_shares(tmp_path: Path, size: float) -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(20, 6))
    path = tmp_path / "mine.npz"
    np.savez(path, X=X / np.abs(X).max() * size, y=np.arange(20) % 5)
    [picture, _] = Fig1().tables(data=str(path)).tasks
    table = table_of(tmp_path / "store", picture)
    found = shares(table).set_index("share")["value"]
    if size > 1:  # a saturated softmax has no curvature
        assert np.isnan(found["hidden"])
        assert Fig1().text(Fig1().numbers(table)).count("0 of 0") == found.isna().sum()
        found = found.dropna()
    assert found.between(-1e-9, 1 + 1e-9).all()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("clusters")
    experiment = clustered("test", (2,), (2, 30), clusters=(2, 20), draws=6, n_samples=40)
    run_tables(experiment, folder)
    return experiment.read(folder)


@pytest.mark.usefixtures("_quick")
def test_ratios_are_those_of_the_norms(small: pd.DataFrame) -> None:
    found = cluster_ratios(small)
    assert len(found) == 3 * 2 * (3 + 2 + 3)  # layers and the whole, C; clusters and Gaussian data: CE twice, MSE
    for row in found.itertuples():
        same = small[(small["n_clusters"] == row.n_clusters) & (small["scale"] == row.scale)]
        same = same[(same["loss"] == row.loss) & (same["n_classes"] == row.n_classes)]
        if row.layer == "whole":
            sums = wide(same).fillna(0).groupby(["layer", "other"]).mean()
            outside = (
                8 * 7 * sums.loc[(1, 1), "offdiag_sqfro"] + 2 * 8 * row.n_classes * sums.loc[(1, 2), "offdiag_sqfro"]
            )
            outside += row.n_classes * (row.n_classes - 1) * sums.loc[(2, 2), "offdiag_sqfro"]
            inside = 8 * sums.loc[(1, 1), "diag_sqfro"] + row.n_classes * sums.loc[(2, 2), "diag_sqfro"]
            assert row.outside == pytest.approx(outside / (inside + outside), abs=4 * row.std_error_outside + 1e-9)
            continue
        norms = wide(same).xs(1 if row.layer == "hidden" else 2, level="layer").xs(1 + (row.layer == "output"), level=1)
        n = 8 if row.layer == "hidden" else row.n_classes
        off, diag = norms["offdiag_sqfro"].sum(), norms["diag_sqfro"].sum()
        is_pictured = row.n_classes == 2 and row.loss == "ce" and row.scale == "unit"
        assert len(norms) == row.draws == (6 if is_pictured else 5)
        assert row.value == pytest.approx(off / diag, abs=4 * row.std_error + 1e-12)  # but for the jackknife's bias
        assert row.outside == pytest.approx(
            (n - 1) * off / (diag + (n - 1) * off), abs=4 * row.std_error_outside + 1e-9
        )
    binary = found[(found["layer"] == "output") & (found["loss"] == "ce") & (found["n_classes"] == 2)]
    np.testing.assert_allclose(binary["value"], 1)
    assert (binary["std_error"] == 0).all()
    assert (found.loc[(found["layer"] == "output") & (found["loss"] == "mse"), "value"] == 0).all()


@pytest.mark.usefixtures("_quick")
def test_verdicts_follow_the_numbers(small: pd.DataFrame) -> None:
    lines = headline_of("fig11", small).splitlines()
    assert [line.split(",")[0] for line in lines[:2]] == ["- C = 2", "- C = 30"]
    for multiple, words in ((100, "at no K"), (1e-4, "at every K")):
        values = small["value"].where(small["quantity"] != "offdiag_sqfro", multiple * small["value"])
        said = headline_of("fig11", small.assign(value=values)).splitlines()[:2]
        assert all(line.endswith(f": hidden and output layers {words}; the whole with CE {words}.") for line in said)
    ratios = cluster_ratios(small)
    # Under the threshold by 2.84 standard errors, what ten looks allow for.
    planted = ratios.assign(outside=0.09, std_error_outside=0.0035, draws=10**6)
    planted.loc[(planted["n_clusters"] == 20) & (planted["scale"] == "unit"), "outside"] = 0.111
    planted.loc[(planted["n_clusters"] == 2) & (planted["scale"] == "unit"), "outside"] = 0.109
    parts = {"ratios": planted, "factors": factors(ratios), "structure": structures(planted)}
    line = verdicts(join_parts(parts))[0]  # CE at both scales, MSE at one
    assert "hidden and output layers in 4 of 10 cases, not in 3, 3 unresolved; the whole with CE in 2 of 4" in line
    of_two = parts["structure"].query("n_classes == 2").set_index("layer")
    assert of_two[["cases", "near", "far"]].to_numpy().tolist() == [[10, 4, 3], [4, 2, 2]]
    assert of_two["verdict"].tolist() == ["in some cases"] * 2
    gaussian = ratios.query("n_clusters == 0 and std_error > 0 and theory > 0")
    z = (gaussian["value"] - gaussian["theory"]) / np.hypot(gaussian["std_error"], gaussian["std_error_theory"])
    np.testing.assert_allclose(ratios["z"].dropna(), z)
    assert lines[-1].endswith(f"against theory largest |z| {z.abs().max():.2f} of {len(z)}.")
    by_k = ratios.query("loss == 'ce' and n_clusters > 0").set_index(["layer", "scale", "n_clusters"])
    hidden = by_k.loc["hidden"].query("n_classes == 2 or n_classes == 30")
    few, many = (np.log(hidden.xs(K, level="n_clusters")["value"]).groupby("scale").mean() for K in (2, 20))
    for scale, words in (("unit", "on the unit sphere"), ("standard", "at standard scale")):
        [told] = re.findall(rf"([\d.]+)\(\d+\) {words} \(z", lines[2])
        assert float(told) == pytest.approx(np.exp(few[scale] - many[scale]), abs=0.006)
    whole = by_k.loc["whole"]
    spread = whole.groupby(["n_classes", "scale"])["outside"].agg(lambda x: x.max() / x.min())
    assert f"a factor of {spread.max():.2f}"[:-1] in lines[4]
    assert f"at C = {spread.idxmax()[0]} " in lines[4]
    text = text_of("fig11", small)
    assert text.count("\nhidden  CE ") == 2 * 2 * 2  # ratios and shares, C, scales
    assert text.count("\nwhole   CE ") == 2 * 2
    assert "Gaussian" in text


@pytest.mark.usefixtures("_quick")
def test_the_figure_has_pictures_and_ratios(small: pd.DataFrame) -> None:
    figure = draw("fig11", small)
    upper, lower = figure.subfigs
    assert ["$K = 2$" in ax.get_title() for ax in upper.axes[:2]] == [True, False]
    found = cluster_ratios(small)
    panels = (
        ("hidden", "ce", "value"),
        ("output", "ce", "value"),
        ("hidden", "mse", "value"),
        ("whole", "ce", "outside"),
    )
    for ax, (layer, loss, column) in zip(lower.axes, panels, strict=True):
        of_panel = found[(found["layer"] == layer) & (found["loss"] == loss)]
        shown = np.concatenate([bars.lines[0].get_ydata() for bars in ax.containers])
        np.testing.assert_allclose(
            np.sort(shown.astype(float)), np.sort(of_panel.loc[of_panel["n_clusters"] > 0, column])
        )
        lines = [line.get_ydata()[0] for line in ax.lines if line.get_label() == "_theory"]
        np.testing.assert_allclose(lines, of_panel.groupby("n_classes")["theory"].first())
        assert ax.get_xlabel() == "number of clusters $K$"
    assert "E" in lower.axes[0].get_ylabel()


def test_few_and_many_classes_differ_in_c_alone() -> None:
    for experiment in (fig11(), fig12(True)):
        for task in experiment.tasks:
            every = task.parameters.get("cases", {"one": task.parameters})
            assert all((p["dim"], p["n_samples"], p["hidden"]) == (64, 500, [8]) for p in every.values())
        assert len({table_file(task) for task in experiment.tasks}) == len(experiment.tasks)
    assert {task.parameters["n_classes"] for task in fig12().tasks if "picture" in task.label} == {100, 500}
    picture = fig11().tasks[0]
    problem = Problem("ce", 2, 64, 500, (8,), data=Clusters(2))
    assert picture.parameters["data"] == picture_task("", problem).parameters["data"]
