"""Kills at random moments: of workers, of a node, of the driver, in the midst of a commit. Nothing is lost or twice.

The long version is ``python -m benchmarks --only kills``; its result is in docs/results/kills.md.
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pandas as pd

import rmtsim
from harness.cluster import RayCluster
from harness.driver import is_part
from harness.kills import loop


def test_the_check_sees_a_row_that_is_changed_or_twice() -> None:
    whole = rmtsim.simulate(rmtsim.Point("linear", "ce", 5, 6, 8), 20)
    assert is_part(whole.iloc[3:9], whole)
    changed = whole.copy()
    changed.loc[7, "diag_sqfro"] = np.nextafter(changed.loc[7, "diag_sqfro"], np.inf)
    assert not is_part(changed, whole)
    assert not is_part(pd.concat([whole, whole.iloc[[4]]], ignore_index=True), whole)
    assert not is_part(whole, whole.iloc[:19])


def test_kills_change_no_row(tmp_path: Path, cluster: RayCluster) -> None:
    lives = [["raylet", "worker", "middle"]]
    toll = loop(tmp_path, cluster, lives, random.Random(0), workers=1, target_rse=0.13, max_draws=216)
    assert [kill.kind for kill in toll.kills] == ["raylet", "worker", "driver, middle"]
    assert sum(kill.lost for kill in toll.kills) > 0
    assert (toll.unreadable, toll.foreign, toll.reported_and_gone) == (0, 0, 0)
    assert (toll.rows_lost, toll.rows_twice) == (0, 0)
