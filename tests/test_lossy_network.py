"""A sweep on two nodes whose network loses and delays packets, and goes down: that costs time, and no row.

Run by ``make network``: it needs root, and Debian's iproute2.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from harness.driver import Driver, given_again, rows_in
from harness.lossy_network import LossyCluster, lacking
from harness.specs import SMALL, spec_of
from rmtsim.sampling.schema import KEY
from rmtsim.store import Store
from rmtsim.sweeps.runner import run

pytestmark = pytest.mark.network


@pytest.fixture
def cluster() -> Iterator[LossyCluster]:
    if problem := lacking():
        pytest.skip(problem)
    with LossyCluster() as network:
        yield network


def test_a_disturbed_network_costs_time_and_no_row(tmp_path: Path, cluster: LossyCluster) -> None:
    spec = spec_of(SMALL.format(max_draws=40, target_rse=0.2), tmp_path)
    run(spec, Store(tmp_path / "quiet"), workers=1, backend="numpy")
    quiet = Store(tmp_path / "quiet").read().drop(columns="backend")
    with Driver(tmp_path, cluster=cluster, nap=0.1) as driver:
        driver.wait(lambda events: [e for e in events if e["event"] == "back"][1:], "results on a quiet network")
        assert cluster.disturb(loss=0.25, delay=0.02) == 0
        so_far = len(driver.events())
        driver.wait(lambda events: [e for e in events[so_far:] if e["event"] == "back"][1:], "results in spite of it")
        driver.wait(lambda _: cluster.disturb(loss=0.25, delay=0.02) >= 5, "lost packets")  # a negative control
        lost_packets, down = cluster.disturb(loss=1.0), time.monotonic()
        driver.wait(lambda events: [e for e in events if e["event"] == "lost" and e["at"] > down], "loss of the worker")
        lost_while_down = cluster.disturb(delay=0.02) - lost_packets
        driver.wait(lambda _: cluster.node_is_gone, "end of the node, which the head has taken for dead")
        cluster.add()
        code, document = driver.end()
        events = driver.events()
    assert code == 4, driver.err()  # as on a quiet network: max_draws ends some points
    assert document["failures"] == []
    assert lost_while_down > 0  # another one
    lost = [event for event in events if event["event"] == "lost"]
    assert lost  # and a worker with its batches, which others computed
    assert given_again(events, down)
    rows = rows_in(tmp_path)
    pd.testing.assert_frame_equal(rows, quiet, check_exact=True)
    assert not pd.read_parquet(tmp_path / "s/draws").duplicated(KEY).any()
