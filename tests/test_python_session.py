"""The library as one uses it from Python or a notebook: the documented session, and what objects print."""

from __future__ import annotations

import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import attrs
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import rmtsim
from rmtsim.stats.verdict import reach
from rmtsim.store.shards import Shard
from rmtsim.sweeps.state import PointState
from tests.small_sweeps import POINT, SWEEPS


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> rmtsim.Store:
    opened = rmtsim.open_store(tmp_path_factory.mktemp("session") / "results")
    for sweep in SWEEPS:
        rmtsim.run(sweep, opened, workers=2, progress=False)
    return opened


#: The session that the documentation shows; X, V, W, y and ax are the user's.
SESSION = """
import rmtsim

point = rmtsim.Point(model="linear", loss="ce", n_classes=1000, dim=500, n_samples=1000)   # width=8 for one_hidden
simulated = rmtsim.simulate(point, draws=16, seed=0)          # DataFrame, the store's columns
predicted = rmtsim.predict([point], regime="finite")          # DataFrame: the same columns and units, theory
norms = rmtsim.block_norms(X, V, W=W, y=y, loss="ce")         # the same statistics of arrays of one's own
full = rmtsim.hessian(X, V, W=W, y=y, loss="ce")              # the full Hessian

store = rmtsim.open_store("results")              # or s3://bucket/prefix
outcome = rmtsim.run("figure8", store, workers=2, progress=True)      # a built-in name, a path, a dict, or a Spec
draws = store.draws(loss="ce", n_classes=[10, 100])         # DataFrame
means = rmtsim.summarize(draws)                   # one row a point and layer: means, standard errors, ratio, draws
fit = rmtsim.fit(draws)                           # .claims and .points: DataFrames; prints the verdict table
drawn_on = rmtsim.plot.decay(draws, quantity="ratio", hue="aspect_ratio", theory=True, ax=ax)
"""


def test_the_session_runs(store: rmtsim.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line, in the folder of a store of two small sweeps, one of them under the name of a built-in."""
    small = f"""
        name = "figure8"
        model = "linear"
        loss = "ce"
        [grid]
        n_classes = {SWEEPS[0]["grid"]["n_classes"]}
        aspect_ratio = [0.5, 1.0]
        dim = [40]
        [sampling]
        seed = 3
        min_draws = 32
        max_draws = 40
        target_rse = 0.2
    """
    for module in ("training_spec", "spec", "documents"):  # the last defines it for the others
        monkeypatch.setattr(f"rmtsim.sweeps.{module}.builtin", lambda: {"figure8": small})
    monkeypatch.chdir(Path(store.location).parent)
    rng, ax = np.random.default_rng(0), Figure().subplots()
    own = {"X": rng.normal(size=(9, 4)), "W": rng.normal(size=(3, 4)), "V": rng.normal(size=(5, 3))}
    names: dict[str, Any] = {**own, "y": rng.integers(5, size=9), "ax": ax}
    exec(SESSION, names)

    simulated, predicted = names["simulated"], names["predicted"]
    assert list(simulated.columns) == list(store.draws().columns)
    assert simulated["diag_sqfro"].mean() == pytest.approx(predicted["diag_sqfro"].item(), rel=0.01)
    assert set(names["norms"]) == {"hidden", "output", "cross"}
    assert names["full"].shape == (27, 27)
    assert repr(names["outcome"]) == "Outcome(nothing to do; 10 of 10 points done)"
    draws, means, fit = names["draws"], names["means"], names["fit"]
    assert set(draws["n_classes"]) == {10, 100}
    assert set(draws["loss"]) == {"ce"}
    assert means["draws"].tolist() == [32] * 4
    assert isinstance(fit.claims, pd.DataFrame)
    [own_mean] = means.query("n_classes == 100 and aspect_ratio == 1").itertuples()
    compared = fit.points.query("n_classes == 100 and aspect_ratio == 1").set_index("quantity")
    assert compared.loc["diag", "measured"] == pytest.approx(own_mean.diag_sqfro)
    assert compared.loc["offdiag", "std_error"] == pytest.approx(own_mean.std_error_offdiag)
    limit = rmtsim.predict(rmtsim.Point("linear", "ce", 100, 40, 40), "limit")
    assert compared.loc["diag", "limit"] == pytest.approx(limit["diag_sqfro"].item())
    assert "verdict" in repr(fit)
    assert "linear ce: d/N = 0.5, d = 40, N = 80" in repr(fit)
    assert names["drawn_on"] is ax


def test_theory_and_means_of_a_store_can_be_joined(store: rmtsim.Store) -> None:
    means = rmtsim.summarize(store.draws())
    points = [rmtsim.Point("linear", "ce", C, 40, N) for C in SWEEPS[0]["grid"]["n_classes"] for N in (80, 40)] + [
        rmtsim.Point("one_hidden", "mse", C, 20, 40, 8) for C in SWEEPS[1]["grid"]["n_classes"]
    ]
    shared = ["point_id", "model", "loss", "layer", "n_classes", "dim", "n_samples", "width", "aspect_ratio"]
    both = means.merge(rmtsim.predict(points), on=shared, suffixes=("", "_theory"), validate="one_to_one")
    assert len(both) == len(means) == 10 + 9
    distance = (both["offdiag_sqfro"] - both["offdiag_sqfro_theory"]).abs() / both["std_error_offdiag"]
    assert distance[both["std_error_offdiag"] > 0].max() < 4.5


def test_progress_is_a_frozen_record_of_every_commit(tmp_path: Path) -> None:
    seen: list[rmtsim.Progress] = []
    point = rmtsim.Point("linear", "mse", 3, dim=4, n_samples=8)
    outcome = rmtsim.run([point], tmp_path / "s", workers=1, progress=False, on_progress=seen.append)
    assert (seen[-1].finished, seen[-1].total) == (1, 1)
    assert seen[-1].done == outcome.new_draws == len(rmtsim.open_store(tmp_path / "s").draws())
    with pytest.raises(AttributeError):
        seen[-1].done = 0  # type: ignore[misc]


def test_points_are_run_as_the_same_draws_as_a_sweep(tmp_path: Path, store: rmtsim.Store) -> None:
    chosen = [rmtsim.Point("linear", "ce", C, 40, N) for C, N in ((10, 80), (40, 80), (10, 40))]
    rmtsim.run(chosen, tmp_path / "s", workers=1, sampling=SWEEPS[0]["sampling"])
    own = rmtsim.open_store(tmp_path / "s").draws()
    assert own["point_id"].nunique() == 3
    expected = store.draws(point_id=[point.id for point in chosen])
    pd.testing.assert_frame_equal(own, expected)


TWO_SWEEPS = [rmtsim.Point("linear", "mse", 3, dim, 8) for dim in (2, 4)]


def test_points_of_several_sweeps_have_one_limit_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds, limits = iter([100.0, 100.0, 140.0]), []

    def made(*_: Any, time_limit: float, **options: Any) -> rmtsim.Outcome:
        limits.append(time_limit)
        return rmtsim.Outcome([], 0)

    monkeypatch.setattr("rmtsim.sweeps.launch.run_sweep", made)
    monkeypatch.setattr("rmtsim.sweeps.launch.time", SimpleNamespace(monotonic=lambda: next(seconds)))
    rmtsim.run(TWO_SWEEPS, tmp_path, time_limit=60)
    assert limits == [60.0, 20.0]


def test_points_of_a_sweep_that_was_not_begun_are_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise MemoryError("no room")

    monkeypatch.setattr("rmtsim.sweeps.batches.Batch.compute", failing)
    outcome = rmtsim.run(TWO_SWEEPS, tmp_path, workers=1, fail_fast=True)
    assert outcome.stopped == "failure"
    assert [state.point for state in outcome.unfinished] == TWO_SWEEPS
    assert "0 of 2 points done" in str(outcome)


def stopped(store: rmtsim.Store, monkeypatch: pytest.MonkeyPatch) -> rmtsim.Outcome:
    """Run several sweeps, of which the first does what was asked for, and is stopped then."""
    points = [*TWO_SWEEPS, rmtsim.Point("linear", "mse", 3, 5, 8)]
    done = rmtsim.Outcome([], 7, stopped="time limit")
    with monkeypatch.context() as patched:
        patched.setattr("rmtsim.sweeps.launch.run_sweep", lambda *_, **options: done)
        return rmtsim.run(points, store)


def test_what_was_not_begun_is_read_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = rmtsim.open_store(tmp_path / "s")
    rmtsim.run(TWO_SWEEPS, store, workers=1, sampling={"min_draws": 4, "max_draws": 4})
    opened, real = list[str](), Shard.open
    monkeypatch.setattr(Shard, "open", lambda shard: opened.append(shard.name) or real(shard))  # type: ignore[func-returns-value]
    outcome = stopped(store, monkeypatch)
    assert [state.prefix for state in outcome.states] == [4, 0]
    assert (outcome.new_draws, outcome.stopped) == (7, "time limit")
    assert sorted(opened) == sorted(shard.name for shard in store.shards())


def test_what_was_done_is_told_where_the_rest_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    store = rmtsim.open_store(tmp_path / "s")
    rmtsim.run(TWO_SWEEPS, store, workers=1, sampling={"min_draws": 4, "max_draws": 4})
    for shard in store.shards():
        Path(str(shard)).write_bytes(b"torn")
    outcome = stopped(rmtsim.open_store(tmp_path / "s"), monkeypatch)
    assert (outcome.new_draws, [state.prefix for state in outcome.states]) == (7, [0, 0])
    [said] = caplog.messages
    assert said.startswith("run: 2 sweeps were not begun, and their draws are not counted (store: ")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"classes_": 3}, "^draws: there is no column 'classes_'; the columns are point_id, model,"),
        ({"loss": "hinge"}, "^loss: 'hinge' is not known; choose one of ce, mse$"),
        ({"layer": ["linear", "last"]}, "^layer: 'last' is not known; choose one of"),
        ({"n_classes": "ten"}, "^n_classes: 'ten' is not valid; give a number or a list of numbers$"),
        ({"classes_": []}, "^draws: there is no column 'classes_'; the columns are"),
        ({"width": np.array(8)}, r"^width: array\(8\) is not valid; give a number or a list of numbers$"),
        ({"n_classes": 10**30}, "^n_classes: 10+ is not valid; give a whole number or a list of them$"),
        ({"n_classes": [math.nan]}, "^n_classes: nan is not valid; give a whole number or a list of them$"),
        ({"n_classes": [2.5]}, "^n_classes: 2.5 is not valid; give a whole number or a list of them$"),
        ({"point_id": 7}, "^point_id: 7 is not valid; give a text or a list of texts$"),
    ],
)
def test_bad_selections_are_named(store: rmtsim.Store, columns: dict[str, Any], words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        store.draws(**columns)


def test_selections_by_any_column(store: rmtsim.Store) -> None:
    everything = store.draws()
    assert len(store.draws(width=None)) == (everything["width"].isna()).sum() == 320
    assert len(store.draws(width=8, layer=("hidden", "cross"))) == 2 * 3 * 16
    assert len(store.draws(draw=range(2), model="linear", aspect_ratio=0.5)) == 2 * 5
    assert store.draws(dim=np.int64(999)).empty


def test_what_takes_draws_takes_a_store(store: rmtsim.Store) -> None:
    pd.testing.assert_frame_equal(rmtsim.summarize(store), rmtsim.summarize(store.draws()))


def test_a_folder_that_is_no_store_has_no_draws(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "notes.txt").touch()
    for name, why in (("resutls", r"no folder .*resutls \(did you mean results\?\)"), ("results", "holds no store")):
        with pytest.raises(rmtsim.InputError, match=rf"^store: .*{why}; run a sweep into it first, or open another$"):
            rmtsim.open_store(tmp_path / name).draws()


def test_objects_print_what_they_hold(store: rmtsim.Store) -> None:
    from rmtsim.theory.spectra import Spectrum
    from rmtsim.theory.spectra.weight_laws import bernoulli

    assert repr(store) == f"Store({store.location!r}, 13 points, 368 draws)"
    assert repr(rmtsim.open_store("nowhere")) == "Store('nowhere', 0 points, 0 draws)"
    point = rmtsim.Point("one_hidden", "mse", 10, 20, 40, 8, rmtsim.Ensemble("he"))
    assert eval(repr(point), {"Point": rmtsim.Point, "Ensemble": rmtsim.Ensemble}) == point
    assert repr(rmtsim.Point("linear", "ce", 2, 3, 4)) == (
        "Point(model='linear', loss='ce', n_classes=2, dim=3, n_samples=4)"
    )
    spectrum = Spectrum(bernoulli(1.0, 1.0), aspect_ratio=4.0)
    assert repr(spectrum) == "Spectrum(d/N = 4, density on [1, 9], atom 0.75 at 0)"
    outcome = rmtsim.run(SWEEPS[1], store)
    fit = rmtsim.fit(store.draws())
    for shown, words in (
        (store, "2, 10, 20, 40, 100"),
        (outcome, "C = 100, d = 20, N = 40, m = 8"),
        (fit, "<th>verdict</th>"),
        (point, "<td>one_hidden</td>"),
        (spectrum, "<td>9</td>"),
    ):
        assert words in shown._repr_html_()


def test_a_point_of_an_outcome_says_what_it_lacks(tmp_path: Path) -> None:
    [state] = rmtsim.run(POINT, tmp_path / "s", workers=1, sampling={"max_draws": 16, "target_rse": 1e-3}).limited
    rse = r"linear (diag|offdiag|ratio) rse \d\.\d\d% > 0\.10%"
    assert re.fullmatch(rf"PointState\(C = \d+, d = \d+, N = \d+: limited at 16 draws, {rse}\)", repr(state))
    going_on = PointState(state.point, ("linear",), attrs.evolve(state.sampling, target_rse=0.3, max_draws=100))
    going_on.add(0, np.random.default_rng(0).uniform(1, 3, (16, 1, 2)))
    assert not going_on.finished
    assert re.search(r"rse \d+\.\d\d% > 5\.00%\)$", repr(going_on))  # a larger target is not trusted


def test_a_store_that_cannot_be_read_still_prints(tmp_path: Path) -> None:
    (tmp_path / "s" / "draws").mkdir(parents=True)
    (tmp_path / "s" / "draws" / "00000001-aaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb.parquet").write_text("no shard")
    broken = rmtsim.open_store(tmp_path / "s")
    assert "00000001" in repr(broken)
    assert "00000001" in broken._repr_html_()


@pytest.mark.parametrize("quantity", ["ratio", "diag_sqfro", "offdiag_sqfro"])
def test_decay_shows_means_and_theory_and_touches_nothing_else(
    store: rmtsim.Store, quantity: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import matplotlib.pyplot as plt

    plt.get_backend()  # looking at the settings chooses one
    before, figures = mpl.rcParams.copy(), plt.get_fignums()
    monkeypatch.setattr(plt, "gca", lambda: pytest.fail("the current axes were asked for"))
    ax, other = Figure().subplots(2)
    draws = store.draws(loss="ce")
    assert rmtsim.plot.decay(draws, quantity, ax=ax) is ax
    assert mpl.rcParams == before
    assert plt.get_fignums() == figures
    assert not other.has_data()

    means = rmtsim.summarize(draws).query("aspect_ratio == 1")
    [bars] = [bars for bars in ax.containers if bars.get_label() == "$d/N = 1$"]
    np.testing.assert_allclose(bars.lines[0].get_ydata().astype(float), means[quantity].to_numpy(float))
    low, high = bars.lines[2][0].get_segments()[1][:, 1]
    one, name = means.iloc[1], quantity.removesuffix("_sqfro")
    down, up = reach(one[f"std_error_{name}"], one[f"skewness_{name}"] / one["draws"] ** 0.5)
    assert (one[quantity] - low, high - one[quantity]) == pytest.approx((down, up), rel=1e-6)
    assert (down + up) / 2 == pytest.approx(one[f"std_error_{name}"], rel=0.05)
    solid = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 15]
    assert len(solid) == 2
    last = rmtsim.predict(rmtsim.Point("linear", "ce", 100, 40, 40))[quantity].item()
    assert solid[1].get_ydata()[-1] == pytest.approx(last)
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_decay_by_layer_names_what_is_zero(store: rmtsim.Store) -> None:
    ax = rmtsim.plot.decay(store.draws(model="one_hidden"), "offdiag_sqfro", hue="layer", ax=Figure().subplots())
    legend = ax.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels[:3] == ["cross layer", "hidden layer", "output layer: zero"]


def test_decay_of_one_draw_says_what_a_ratio_needs() -> None:
    draws = rmtsim.simulate(POINT, draws=1)
    for quantity, label in (("ratio", "$d/N = 0.5$: a ratio needs two draws"), ("diag_sqfro", "$d/N = 0.5$")):
        ax = rmtsim.plot.decay(draws, quantity, ax=Figure().subplots())  # type: ignore[arg-type]
        assert ax.get_legend_handles_labels()[1] == [label]


@pytest.mark.parametrize("wrong", [{"quantity": "norm"}, {"hue": "colour"}, {"theory": ["exact"]}])
def test_decay_names_what_it_does_not_know(store: rmtsim.Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(rmtsim.InputError, match="is not known; choose one of"):
        rmtsim.plot.decay(store.draws(), ax=Figure().subplots(), **wrong)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"theory": "finite"},
            "^theory: 'finite' is not valid; give True, False, or a list of some of 'finite', 'large",
        ),
        ({"theory": None}, "^theory: None is not valid"),
        ({"ax": Figure()}, "^ax: .* is not valid; give one matplotlib Axes"),
        ({"ax": Figure().subplots(2)}, "^ax: array.* is not valid; give one matplotlib Axes"),
        ({"ax": Figure().add_subplot(projection="3d")}, "^ax: .* is not valid; give one matplotlib Axes"),
    ],
)
def test_decay_names_what_it_cannot_take(store: rmtsim.Store, wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(rmtsim.InputError, match=words):
        rmtsim.plot.decay(store.draws(), **wrong)


def test_help_fits_on_a_few_screens() -> None:
    import pydoc

    text = pydoc.plain(pydoc.render_doc(rmtsim))
    assert len(text.splitlines()) < 150
    assert all(name in text for name in dir(rmtsim) if not name.startswith("_"))
    assert "_make" not in text
    assert "Helper for pickle" not in text
