"""What Ray's metrics say of a run on a cluster: fetched by HTTP, as Prometheus does, and compared with the store."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from harness.head import ROOT, TOKEN, Head, environment
from harness.specs import SMALL, spec_of
from rmtsim.store import Store
from rmtsim.sweeps import ray_metrics
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.ray_metrics import COUNTERS, GAUGES, LABEL, exported
from rmtsim.sweeps.reading import read_states

#: Two of its points are limited, the others done.
SWEEP = """
name = "measured"
model = "linear"
loss = "ce"
[grid]
n_classes = [2, 5, 10, 30, 100]
aspect_ratio = [0.5]
dim = [30]
[sampling]
seed = 5
min_draws = 8
max_draws = 24
target_rse = 0.02
"""

TRAINING = """
name = "trained"
loss = ["ce"]
[grid]
n_classes = [2, 3]
dim = [4]
samples_per_class = [6]
hidden = [[]]
data = ["gaussian"]
[training]
steps = 20
learning_rate = 0.05
checkpoints = [0, 1]
[sampling]
draws = 2
"""

#: Seconds after which what is waited for will not come.
PATIENCE = 120.0

#: Runs a spec. Prints whether Ray's metrics were loaded for it, then what a page shows at once: gauges are gone after
#: twice the interval at which Ray sends them.
RUN = """
import sys
from urllib.request import urlopen
from rmtsim.cli.main import main
address, page = sys.argv[1:]
code = main(["run", "spec.toml", "--store", "s", "--backend", "numpy", "--workers", "1", "--address", address])
print("ray.util.metrics" in sys.modules, urlopen(page, timeout=30).read().decode() if page else "")
raise SystemExit(code)
"""


def ran(folder: Path, address: str, page: str = "") -> tuple[bool, str]:
    """Return both."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, address, page],
        env=environment(RAY_AUTH_TOKEN=TOKEN),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode in (0, 4), done.stderr
    loaded, _, text = done.stdout.partition(" ")
    return {"True": True, "False": False}[loaded], text


def values(text: str, run: str) -> dict[str, float]:
    """Return the value of each metric of a run, from what a page shows; there is one of each."""
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples if sample.labels.get(LABEL) == run]
    assert len({sample.name for sample in samples}) == len(samples)
    return {sample.name: sample.value for sample in samples}


def names(unit: str) -> set[str]:
    """Return the names of the metrics of a run in Prometheus."""
    return {f"ray_{COUNTERS[unit][0]}_total"} | {f"ray_{name}" for name in GAUGES[unit]}


def test_a_sweep_is_measured_as_the_store_has_it(head: Head, tmp_path: Path) -> None:
    spec = spec_of(SWEEP, tmp_path)
    loaded, text = ran(tmp_path, head.head, head.metrics)
    assert loaded
    said = values(text, "measured")
    assert said.keys() == names("draw")
    store = Store(tmp_path / "s")
    states = read_states(spec, store)
    errors = [state.precision[0] for state in states]
    assert {state.state for state in states} == {"done", "limited"}
    assert said["ray_rmtsim_draws_total"] == len(store.read()[["point_id", "draw"]].drop_duplicates())
    assert said["ray_rmtsim_points"] == said["ray_rmtsim_points_finished"] == len(states) == 5
    assert said["ray_rmtsim_worst_rse"] == pytest.approx(max(errors), rel=1e-12)
    assert said["ray_rmtsim_workers"] == 1
    assert said["ray_rmtsim_draws_per_second"] > 0
    for name in ("batches_in_flight", "batches_failed", "seconds_to_go"):
        assert said[f"ray_rmtsim_{name}"] == 0
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["ray_rmtsim_draws"].type == "counter"
    for name, (about, _) in GAUGES["draw"].items():
        assert (families[f"ray_{name}"].type, families[f"ray_{name}"].documentation) == ("gauge", about)


def test_training_runs_are_measured(head: Head, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(TRAINING)
    said = values(ran(tmp_path, head.head, head.metrics)[1], "trained")
    assert said.keys() == names("table")
    made = len([*(tmp_path / "s").glob("experiments/trained/*.parquet")])
    for name in ("new_tables_total", "tables", "tables_finished"):
        assert said[f"ray_rmtsim_{name}"] == made == 4
    for name in ("tables_in_flight", "tables_failed", "seconds_to_go"):
        assert said[f"ray_rmtsim_{name}"] == 0


def test_a_client_is_measured_too(head: Head) -> None:
    """Its process is not in the cluster, so that an actor has its metrics. What is not known is not there."""
    script = """
import sys
from rmtsim.sweeps.connection import connected
from rmtsim.sweeps.ray_metrics import GAUGES, _adder
with connected(sys.argv[1]):
    add = _adder("far", "draw")
    add(dict.fromkeys(GAUGES["draw"], 2.0) | {"rmtsim_worst_rse": float("nan")}, 7)
    add(dict.fromkeys(GAUGES["draw"], 3.0) | {"rmtsim_worst_rse": float("nan")}, 5)
    sys.stdin.readline()
"""

    def found() -> dict[str, float]:
        with urlopen(head.metrics, timeout=30) as page:
            return values(page.read().decode(), "far")

    line = [sys.executable, "-c", script, head.client]
    with subprocess.Popen(line, env=environment(RAY_AUTH_TOKEN=TOKEN), stdin=subprocess.PIPE, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE
            while (said := found()).keys() != names("draw") - {"ray_rmtsim_worst_rse"}:
                assert time.monotonic() < end
                assert process.poll() is None
                time.sleep(0.1)
        finally:
            process.communicate("\n", timeout=60)
    assert process.returncode == 0
    assert (said["ray_rmtsim_draws_total"], said["ray_rmtsim_points"]) == (12, 3)


@pytest.mark.ray
def test_a_ray_of_our_own_and_threads_have_none(tmp_path: Path) -> None:
    spec_of(SMALL.format(max_draws=8, target_rse=0.9), tmp_path)
    assert ran(tmp_path, "ray") == (False, "\n")

    def told(_: Progress) -> None: ...

    for address in ("ray", "local"):
        assert exported(told, address) is told
        assert exported(None, address) is None
    assert exported(None, "auto") is not None


def test_the_page_lists_them_all() -> None:
    """With their types; what it says of the three variables is in the launch files, too."""
    text = (ROOT / "docs" / "how-to" / "metrics.md").read_text("utf-8")
    rows = dict(re.findall(r"^\| `(ray_rmtsim_\w+)` \| (\w+) \|", text, re.M))
    assert rows.keys() == names("draw") | names("table")
    assert {name for name, kind in rows.items() if kind == "counter"} == {
        f"ray_{name}_total" for name, _ in COUNTERS.values()
    }
    asked = {*re.findall(r"ray_rmtsim_\w+", text)} - {"ray_rmtsim_"}
    assert asked == rows.keys()
    [closed] = re.findall(r"^    (export .*METRIC.*)$", text, re.M)
    assert closed in (ROOT / "docs" / "how-to" / "ray-cluster.md").read_text("utf-8")
    assert closed in (ROOT / "sweeps" / "slurm.sh").read_text("utf-8")


@pytest.mark.parametrize("broken", ["start", "later"])
def test_metrics_that_fail_cost_a_sentence(
    broken: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls, seen = [], []

    def add(found: dict[str, float], done: int) -> None:
        calls.append((found["rmtsim_points_finished"], done))
        if len(calls) == 2:
            raise RuntimeError("no more")

    def start(*_: str) -> Callable[[dict[str, float], int], None]:
        if broken == "start":
            raise ImportError("none here")
        return add

    monkeypatch.setattr(ray_metrics, "_adder", start)
    take = exported(seen.append, "auto")
    records = [Progress("one", "draw", 10 * k, k, 4, 2, worst_rse=None) for k in range(4)]
    for record in records:
        take(record)
    assert seen == records
    assert calls == ([] if broken == "start" else [(0, 0), (1, 10)])
    why = {"start": "none here", "later": "no more"}[broken]
    assert [record.getMessage() for record in caplog.records] == [
        f"run: its metrics are not exported to Ray any more ({why}); the run goes on"
    ]
