"""Pictures of Hessians: the experiments behind them, and the figures' numbers and words.

Tables are those of `rmtsim.full_hessian.description` with a column ``case``, the name of the picture. Draw 0 has the
maps; further draws, which hold norms alone, give the shares of the squared norm their standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd

from rmtsim.data.clusters import Clusters
from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.full_hessian.description import PARTS, Look
from rmtsim.kernels.norms import block_norms
from rmtsim.model.choices import LOSSES
from rmtsim.paper.norm_shares import MAPS, PICTURE_KEYS, PROBLEM_KEYS, in_percent, shares
from rmtsim.sampling.simulation import simulate
from rmtsim.stats.estimates import mean_estimate
from rmtsim.stats.quoted import quoted
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.checks import check_choice
from rmtsim.text.tables import text_table
from rmtsim.training.adam import Schedule
from rmtsim.training.problem import Problem
from rmtsim.training.task import Checkpoint
from rmtsim.training.trajectory import AT_START, COLUMNS, NORMS, described, trajectory_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: What is kept of the Hessian that a picture shows.
PICTURE = Look(cells=400, blocks=True)

#: The same with a strip of the cross layer: its stripes are one column in m, which larger cells average away.
STRIPED = Look(cells=400, blocks=True, strip=8)

#: Fractions of the steps at which the paper and its slides show Hessians.
PROGRESS = (0.0, 0.01, 0.1, 0.25, 0.5, 1.0)

#: The schedule of Appendix B.3, and that of a reduced run.
PAPER, _REDUCED = Schedule(50_000, 1e-4, PROGRESS), Schedule(5_000, 1e-3, PROGRESS)

#: Draws for the numbers at initialisation and through training.
_DRAWS, _TRAINED = 64, 4

#: Numbers of classes of the paper's pictures at initialisation.
CLASSES = (10, 50, 100, 1000)

_LEGEND = (
    "Share of the squared norm outside the diagonal blocks, of a layer's own Hessian or all; cross: between layers.",
    "± standard error over draws; theory: expected norms at this size, at initialisation; z in standard errors.",
)
_ON_STRIPES = "stripes: share of the term with the residual, (11) and (18), in the squared norm of the cross layer."
_LEADING = "≈: theory to leading order in 1/width, not exact, and so without z."


class HessianPictures(Figure):
    """Maps of |entries|, norms of blocks, and the shares of the squared norm: a column for each picture.

    Attributes
    ----------
    heading
        The first line above the picture; by default the title.
    """

    heading: ClassVar[str] = ""

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the parts ``shares`` (`rmtsim.paper.norm_shares.shares`), ``training`` and ``maps``.

        ``training`` has the mean loss over draws at the first and the last step, with its standard error, and the
        schedule; it is empty where nothing was trained. ``maps`` has the mean |entry| of each cell, the norms of the
        blocks, and of the largest |entry| of each cell only the largest of all.
        """
        return join_parts({"shares": shares(rows), "training": _training(rows), "maps": _maps(rows)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the maps, with the shares in their titles."""
        from rmtsim.paper.hessian_drawing import plot_pictures

        maps = part(numbers, "maps")
        lines = [self.heading_of(maps), *schedule_in_words(part(numbers, "training"))]
        return plot_pictures(maps, part(numbers, "shares"), lines)

    def heading_of(self, maps: pd.DataFrame) -> str:
        """Return the first line above the picture."""
        return self.heading or self.title

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the shares, a line for each picture and share, and how it was trained."""
        found = part(numbers, "shares")
        grid = [["picture", "of steps", "share", "draws", "measured", "theory", "z"]]
        for row in found.to_dict("records"):
            z = "-" if math.isnan(row["z"]) else f"{row['z']:+.2f}"
            place = [without_dollars(row["case"]), f"{row['progress']:.0%}", row["share"], str(row["draws"])]
            grid.append([*place, in_percent(row["value"], row["std_error"]), _theory(row), z])
        legend = [*_LEGEND, *([_ON_STRIPES] if "stripes" in set(found["share"]) else [])]
        legend += [_LEADING] if any("≈" in cells[5] for cells in grid) else []
        training = schedule_in_words(part(numbers, "training"))
        return "\n".join([*training, *text_table(grid, "<>"), "", *legend])

    def headline(self, numbers: pd.DataFrame) -> str:
        """Return the shares of the first and the last picture, how the theory agrees, and how it was trained."""
        found = part(numbers, "shares")
        ends = [found.iloc[0], found.iloc[-1]]
        first, last = (found[(found["case"] == end["case"]) & (found["step"] == end["step"])] for end in ends)
        values = {}
        for share in first["share"]:
            before, after = (
                in_percent(*of_picture.loc[of_picture["share"] == share, ["value", "std_error"]].iloc[0])
                for of_picture in (first, last)
            )
            values[share] = f"{before} → {after}"
        stripes = values.pop("stripes", None)
        is_trained = found["step"].nunique() > 1
        start, stop = (
            without_dollars(end["case"]) + (f" at {end['progress']:.0%}" if is_trained else "") for end in ends
        )
        parts = [
            f"outside the diagonal blocks, {start} → {stop}: "
            + ", ".join(f"{_WORDS.get(share, share)} {value}" for share, value in values.items())
        ]
        parts += [f"stripes in the cross layer: {stripes} of its squared norm"] if stripes else []
        z = found["z"].dropna().abs()
        parts += [f"against theory largest |z| {z.max():.2f} of {len(z)}"] if len(z) else []
        return "; ".join([*parts, *_leading_order(found), *schedule_in_words(part(numbers, "training"))])


_WORDS = {"cross": "between layers"}


def _theory(row: Mapping[Any, Any]) -> str:
    """Return the theory's share; ≈ marks one to leading order in 1/width."""
    if math.isnan(row["theory"]):
        return "-"
    if math.isnan(row["std_error_theory"]):
        return f"≈ {in_percent(row['theory'], row['std_error'], with_error=False)}"
    return f"{row['theory']:.4%}"


def _leading_order(found: pd.DataFrame) -> list[str]:
    """Return the theory's shares where they are not exact: one line, or none."""
    rows = found[found["std_error_theory"].isna() & found["theory"].notna()]
    if rows.empty:
        return []
    values = ", ".join(f"{row['share']} {_theory(row)}" for row in rows.to_dict("records"))
    return [f"theory at initialisation, to leading order in 1/width: {values}"]


def _maps(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of maps and blocks, and of the quantity ``largest`` only the row that is largest in its part."""
    columns = [*PICTURE_KEYS, *PROBLEM_KEYS, *(name for name in COLUMNS if name not in PICTURE_KEYS)]
    largest = table[table["quantity"] == "largest"]
    tops = largest.groupby([*PICTURE_KEYS, "layer", "other"], sort=False)["value"].idxmax()
    others = table["quantity"].isin(MAPS) & (table["quantity"] != "largest")
    return table.loc[others | table.index.isin(tops), columns]


def _training(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean loss at the first and the last step, and the schedule; nothing where no network was trained."""
    curve = table[(table["quantity"] == "loss") & (table["steps"] > 0)]
    if curve.empty:
        return pd.DataFrame()
    steps, rate = int(curve["steps"].iloc[0]), float(curve["learning_rate"].iloc[0])
    lines = []
    for step in (0, steps):
        losses = curve.loc[curve["step"] == step, "value"].to_numpy(float)
        lines.append({"step": step, "draws": curve["draw"].nunique(), **mean_estimate(losses)._asdict()})
    return pd.DataFrame(lines).assign(steps=steps, learning_rate=rate)


def schedule_in_words(training: pd.DataFrame) -> list[str]:
    """Return how the networks were trained, with the loss at both ends: one line, or none."""
    if training.empty:
        return []
    steps, rate, draws = (training[name].iloc[0] for name in ("steps", "learning_rate", "draws"))
    faster = rate / PAPER.learning_rate
    whose = "the paper's schedule" if (steps, faster) == (PAPER.steps, 1) else f"{faster:.3g} times the paper's rate"
    mantissa, exponent = f"{rate:.2e}".split("e")
    how = f"{steps:,} steps of Adam from {float(mantissa):g}e{int(exponent)}, {whose}"
    losses = " → ".join(quoted(*end) for end in zip(training["value"], training["std_error"], strict=True))
    return [f"{how}, {'one draw' if draws == 1 else f'{draws} draws'}: loss {losses}"]


def without_dollars(case: str) -> str:
    """Return the name of a picture without the marks of its formulas."""
    return case.replace("$", "")


def picture_task(
    case: str, problem: Problem, schedule: Schedule = AT_START, draw: int = 0, look: Look = PICTURE
) -> Task:
    """Return the task of one picture, or of a sequence through training."""
    label = f"{problem.loss}-c{problem.n_classes:04d}-draw{draw:02d}"
    inner = trajectory_task(label, problem, schedule, draw, look=look)

    def compute(checkpoint: Checkpoint) -> pd.DataFrame:
        table: pd.DataFrame = inner.compute(checkpoint)
        return table.assign(case=case)

    return Task(label, {**inner.parameters, "case": case}, compute, cost=inner.cost, resumable=True)


def simulated_norms_task(case: str, problem: Problem, draws: int = _DRAWS) -> Task:
    """Return the task of the norms of further draws at initialisation; `simulate` finds them without the matrix."""
    point = problem.point
    assert point is not None

    def compute() -> pd.DataFrame:
        rows = simulate(point, range(1, draws), progress=False)
        place = rows["layer"].map(PARTS)
        long = rows.assign(layer=place.str[0], other=place.str[1]).melt(
            id_vars=["layer", "other", "draw", "seed"],
            value_vars=["diag_sqfro", "offdiag_sqfro"],
            var_name="quantity",
        )
        long = long.dropna(subset="value").assign(step=0, progress=0.0, i=0, j=0)
        return long[[*COLUMNS, "draw", "seed"]].assign(**described(problem, AT_START), case=case)

    parameters: dict[str, Any] = {**problem.parameters(), "case": case, "draws": draws}
    cost = float(draws * problem.n_samples**2 * (problem.n_classes + problem.dim))
    return Task(f"{problem.loss}-c{problem.n_classes:04d}-norms", parameters, compute, cost=cost)


def data_norms_task(label: str, problems: Mapping[str, Problem], draws: range) -> Task:
    """Return the task of the block norms of networks with one hidden layer at initialisation, on any data.

    ``problems`` maps the names of pictures to theirs. The whole matrix is not formed.
    """
    cases = {case: problem.parameters() for case, problem in problems.items()}
    settings = {"cases": cases, "draws": [draws.start, draws.stop]}

    def compute() -> pd.DataFrame:
        parts = []
        for case, problem in problems.items():
            rows = pd.DataFrame([row for draw in draws for row in _norms(problem, draw)])
            parts.append(rows.assign(**described(problem, AT_START), case=case, **data_columns(problem)))
        return pd.concat(parts, ignore_index=True)

    cost = sum(len(draws) * p.n_samples**2 * (p.n_classes + p.dim) for p in problems.values())
    return Task(f"{label}-norms".replace(" ", "-"), settings, compute, cost=float(cost))


def _norms(problem: Problem, draw: int) -> Iterator[dict[str, Any]]:
    X, (W, V), y = problem.draw(draw)
    loss = check_choice("loss", problem.loss, LOSSES)
    for layer, norms in block_norms(X, V, W=W, y=y, loss=loss, threads=1, progress=False).items():
        values = {"diag_sqfro": norms.diag_sqfro, "offdiag_sqfro": norms.offdiag_sqfro}
        for quantity, value in values.items():
            if value is not None:
                row = (0, 0.0, *PARTS[layer], quantity, 0, 0, float(value))
                yield dict(zip(COLUMNS, row, strict=True)) | {"draw": draw, "seed": 0}


def data_columns(problem: Problem) -> dict[str, Any]:
    """Return the columns that distinguish clustered data sets."""
    if not isinstance(problem.data, Clusters):
        return {"n_clusters": 0, "scale": ""}
    return {"n_clusters": problem.data.n_clusters, "scale": problem.data.scale}


def at_initialisation(
    name: str, loss: str, classes: Sequence[int], hidden: tuple[int, ...] = (), dim: int = 64
) -> Experiment:
    """Return the experiment of pictures over numbers of classes: Appendix B.3, d = 64, one sample a class."""
    tasks = []
    for C in classes:
        problem = Problem(loss, C, dim, C, hidden)
        tasks += [picture_task(f"$C = {C}$", problem), simulated_norms_task(f"$C = {C}$", problem)]
    return Experiment(name, tasks)


def along_training(name: str, problem: Problem, full: bool, look: Look = PICTURE) -> Experiment:
    """Return the experiment of pictures through training by Adam; a reduced one has further draws, of norms alone.

    The paper trains "until convergence"; 50 000 steps from 1e-4 are what its public code takes. A reduced run takes a
    tenth of them from ten times that rate, and more draws. It is another training, not the same one sooner: Adam's
    steps are of the size of the rate, and where they end depends on it.
    """
    schedule = PAPER if full else _REDUCED
    case = problem.loss.upper()
    tasks = [picture_task(case, problem, schedule, draw, NORMS) for draw in range(1, 1 if full else _TRAINED)]
    return Experiment(name, [picture_task(case, problem, schedule, look=look), *tasks])


def one_hidden_layer(loss: str, full: bool) -> Problem:
    """Return the problem of Figures 2 and 3: d = C = 500, m = 8, 10 samples a class; reduced, d = C = 100."""
    size = 500 if full else 100
    return Problem(loss, size, size, 10 * size, (8,), dtype="float32")
