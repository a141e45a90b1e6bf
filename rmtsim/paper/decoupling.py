"""What decoupling changes, Lemmas 1 to 3: the difference of Stieltjes transforms at every size, and its rate in N."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import pandas as pd

from rmtsim.figures.figure import Figure
from rmtsim.figures.parts import join_parts, part
from rmtsim.figures.registry import register
from rmtsim.paper.coupling import PLACES, TIMES, Coupling, decoupling_draws
from rmtsim.paper.decoupling_rates import coupling_name, fit_decoupling, summarize_decoupling
from rmtsim.sweeps.experiment import Experiment, Task
from rmtsim.text.tables import text_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

#: The couplings that are measured: Theorem 1's blocks, the hidden layer's, and the control.
COUPLINGS = (
    Coupling("linear", "ce", "diag", 10),
    Coupling("linear", "ce", "offdiag", 10),
    Coupling("one_hidden", "ce", "diag", 10, 4),
    Coupling("one_hidden", "ce", "offdiag", 10, 4),
    Coupling("radial"),
)

#: N → draws; the control costs most, and needs few.
_DRAWS = {32: 6000, 64: 6000, 128: 3600, 256: 1300, 512: 450, 1024: 120}
_CONTROL_DRAWS = {32: 1600, 64: 600, 128: 250, 256: 80}


_LEGEND = """\
|Δ_N| = |E s_H(z) − E s_H̃(z)| in units of 1/scale, z in units of the scale. exponent: of N, with one
correction 1/N; plain slope: without. Proof of Lemmas 1 and 2: −1/2 by Hölder's inequality over entries, −1
with operator norms; theory: −1, and the limit of d|Δ_N|. The control's weights see d/2 directions: −1/2."""


@register
class Decoupling(Figure):
    """The difference that decoupling makes: its decay with N beside the two rates, and its growth along the path."""

    name = "decoupling"
    title = "What decoupling changes: the difference of Stieltjes transforms"
    source = "Section 6, Step 3; Lemmas 1 to 3"
    sentence = (
        r"We then prove that the r.h.s. of (40) decays to zero at rate $\mathcal{O}(1/\sqrt{N})$, and thus "
        r"$H_{ii}$ shares the same limiting eigenvalue distribution as $\tilde{H}_{ii}$."
    )
    place = 22

    def tables(self, full: bool = False, data: str | None = None) -> Experiment:
        """Return the experiment, which has one size."""
        return decoupling()

    def numbers(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return the parts ``means`` (see `summarize_decoupling`) and ``fits`` (`fit_decoupling`)."""
        means = summarize_decoupling(rows)
        return join_parts({"means": means, "fits": fit_decoupling(means)})

    def plot(self, numbers: pd.DataFrame) -> Drawing:
        """Draw the differences over N with their fits, and along the path."""
        from rmtsim.paper.decoupling_drawing import plot_decoupling

        return plot_decoupling(part(numbers, "means"), part(numbers, "fits"))

    def text(self, numbers: pd.DataFrame) -> str:
        """Return the fitted rates and limits beside the theory's."""
        grid = [["coupling", "z", "exponent", "plain slope", "lim d|Δ|", "theory", "verdict"]]
        for row in part(numbers, "fits").itertuples():
            is_control = row.model == "radial"
            grid.append(
                [
                    coupling_name(row),
                    f"{row.z_real:g}+{row.z_imag:g}i",
                    f"{row.exponent:+.3f} ± {row.std_error_exponent:.3f}",
                    f"{row.plain_slope:+.3f} ± {row.std_error_plain_slope:.3f}",
                    "-" if is_control else f"{row.limit:.4f} ± {row.std_error_limit:.4f}",
                    "-" if is_control else f"{row.limit_theory:.4f}",
                    str(row.verdict),
                ]
            )
        return "\n".join([*text_table(grid, "<>>>>><"), "", _LEGEND])


def decoupling(seed: int = 0, draws: Mapping[int, int] | None = None) -> Experiment:
    """Return the experiment over ``COUPLINGS`` at d/N = 1/2; ``draws`` maps N to the number of draws of each."""

    def task(coupling: Coupling, n_samples: int, count: int) -> Task:
        parameters = asdict(coupling) | {"n_samples": n_samples, "draws": count, "seed": seed}
        parameters |= {"places": [[z.real, z.imag] for z in PLACES], "times": TIMES}
        label = f"{coupling.model}-{coupling.loss}-{coupling.block}-n{n_samples:04d}"

        def compute() -> pd.DataFrame:
            return decoupling_draws(coupling, n_samples // 2, n_samples, range(count), seed=seed)

        return Task(label, parameters, compute, cost=count * n_samples**2)

    tasks = [
        task(coupling, n_samples, count)
        for coupling in COUPLINGS
        for n_samples, count in (draws or (_CONTROL_DRAWS if coupling.model == "radial" else _DRAWS)).items()
    ]
    return Experiment("decoupling", tasks)
