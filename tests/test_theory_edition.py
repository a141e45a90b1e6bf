"""Values of the theory that are kept on disk: where one changes, the edition of the theory has to."""

from __future__ import annotations

from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rmtsim.theory import two_point
from rmtsim.theory.cross import _ce_pair
from rmtsim.theory.disk_cache import EDITION, kept_on_disk
from rmtsim.theory.one_hidden_ce_pairs import pair_terms
from rmtsim.theory.two_point import weighted_pair_moments

THEORY = Path(__file__).parents[1] / "rmtsim" / "theory"

#: Values of this edition. Where one changes by more than rounding, entries on disk are of another theory: raise
#: ``EDITION``, so that they are no longer served, and note the new values.
PINNED = {
    4: [
        (
            pair_terms,
            (7, 3, 60, 0.2, 0.05),
            [1.5176573855617486, 0.05094970176253324, 0.01425597444531016, 0.00045815447655211754],
            [0.0004548854342357166, 7.959177537561474e-05, 9.713400268479628e-06, 4.464446574004641e-07],
        ),
        (
            pair_terms,
            (10, 4, None, 1.0, 0.05),
            [0.012418789620871128, 0.000332264068014762, 0.011349600942619753, 0.00021830377683094136],
            [4.790317820347495e-06, 8.757012222161947e-07, 9.2232582313376e-06, 2.8042998726819745e-07],
        ),
        (_ce_pair, (5, 2, 40, 0.2, 0.05), [0.0033407486917195854], [5.639727862046226e-06]),
        (_ce_pair, (10, 3, None, 1.0, 0.05), [0.003805865840280793], [1.1403179797661057e-05]),
    ]
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RMTSIM_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "values"),
    [
        ((7, 60), (0.6703493847300015, 0.018881474664052857)),
        ((10, 12, 2.0), (0.06150866163181707, 0.0009274364022328985)),
    ],
)
def test_linear_values_of_this_edition_are_what_they_were(
    folder: Path, arguments: tuple[Any, ...], values: tuple[float, float]
) -> None:
    computed = weighted_pair_moments.__wrapped__(*arguments)  # type: ignore[attr-defined]
    assert (computed.diag, computed.offdiag) == pytest.approx(values, rel=1e-10), "a kept value changed: raise EDITION"
    record, shapes = two_point._moments, {"diag": (), "offdiag": ()}
    kept_on_disk(record, shapes)(weighted_pair_moments.__wrapped__)(*arguments)  # type: ignore[attr-defined]
    unused = wraps(weighted_pair_moments)(lambda *_: pytest.fail("it stands on disk"))
    served = kept_on_disk(record, shapes)(unused)(*arguments)
    assert served == computed
    assert type(served.diag) is float


@pytest.mark.parametrize("case", range(4))
def test_values_of_this_edition_are_what_they_were(case: int) -> None:
    assert list(PINNED) == [EDITION], "the edition was raised: note the values of the new one"
    function, arguments, mean, std_error = PINNED[EDITION][case]
    found = function.__wrapped__(*arguments)  # type: ignore[attr-defined]
    # Rounding depends on BLAS and the processor; a change of the theory is larger.
    assert found.mean == pytest.approx(mean, rel=1e-10), "a kept value changed: raise EDITION"
    assert np.sqrt(np.diag(found.covariance)) == pytest.approx(std_error, rel=1e-7), "a kept value changed"


def test_the_kept_functions_are_those_that_are_pinned() -> None:
    kept = {path.name for path in THEORY.rglob("*.py") if "@kept_on_disk(" in path.read_text("utf-8")}
    assert kept == {"cross.py", "one_hidden_ce_pairs.py", "two_point.py"}
