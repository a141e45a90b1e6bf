"""What a job may use: control groups of both versions in made-up trees, and limits of addresses in processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtsim
from rmtsim.arrays import limits, threads
from rmtsim.arrays.pool import Pool
from rmtsim.arrays.threads import ThreadTeam
from rmtsim.cli.main import main
from rmtsim.store import Store

GIB = 2**30

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate"
V1 = [
    "32 31 0:29 {top} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
    "35 31 0:32 {top} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
]


def tree(root: Path, groups: str, mounts: list[str], files: dict[str, str]) -> Path:
    """Lay down ``/proc/self`` and the files of control groups."""
    contents = {"proc/self/cgroup": groups, "proc/self/mountinfo": "\n".join(mounts)}
    contents |= {f"sys/fs/cgroup/{path}": text for path, text in files.items()}
    for path, text in contents.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text + "\n")
    return root


JOB = "system.slice/slurmstepd.scope/job_7/step_0"


@pytest.mark.parametrize(
    ("files", "memory", "cores"),
    [
        ({"memory.max": "max", "cpu.max": "max 100000"}, None, None),
        ({"memory.max": f"{8 * GIB}"}, 8 * GIB, None),  # the root of a container's own name space
        ({f"{JOB}/memory.max": f"{4 * GIB}", f"{JOB}/cpu.max": "150000 100000"}, 4 * GIB, 2),
        ({f"{JOB}/memory.max": "max", f"{os.path.dirname(JOB)}/memory.max": f"{3 * GIB}"}, 3 * GIB, None),
        ({f"{JOB}/memory.max": f"{4 * GIB}", "system.slice/memory.max": f"{2 * GIB}"}, 2 * GIB, None),
        ({f"{JOB}/memory.max": f"{4 * GIB}", f"{JOB}/memory.high": f"{GIB}"}, GIB, None),
        ({f"{JOB}/cpu.max": "400000 100000", "system.slice/cpu.max": "25000 100000"}, None, 1),
        ({f"{JOB}/memory.max": "no number", f"{JOB}/cpu.max": ""}, None, None),
    ],
)
def test_groups_of_version_2(tmp_path: Path, files: dict[str, str], memory: int | None, cores: int | None) -> None:
    """The smallest limit of the process's own group and of all above it."""
    root = tree(tmp_path, f"0::/{JOB}", [V2], files)
    assert limits.memory_limit(root) == memory
    assert limits.processor_limit(root) == cores


@pytest.mark.parametrize("top", ["/", "/docker/abc"])
def test_groups_of_version_1(tmp_path: Path, top: str) -> None:
    """Seen from the machine, and from a container that sees its own group where the root was."""
    groups = "9:name=systemd:/x\n4:memory:/docker/abc/job\n2:cpu,cpuacct:/docker/abc/job\n0::/"
    inside = "job" if top != "/" else "docker/abc/job"
    files = {
        f"memory/{inside}/memory.limit_in_bytes": f"{6 * GIB}",
        "memory/memory.limit_in_bytes": "9223372036854771712",
        f"cpu,cpuacct/{inside}/cpu.cfs_quota_us": "250000",
        f"cpu,cpuacct/{inside}/cpu.cfs_period_us": "100000",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1",
        "cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    root = tree(tmp_path, groups, [line.format(top=top) for line in V1], files)
    assert limits.memory_limit(root) == 6 * GIB
    assert limits.processor_limit(root) == 3


def test_groups_that_are_out_of_sight(tmp_path: Path) -> None:
    """Version 1 tells of limits above what is mounted; a path of another name space is where the mount is."""
    files = {
        "memory/memory.limit_in_bytes": "9223372036854771712",
        "memory/memory.stat": f"cache 0\nhierarchical_memory_limit {5 * GIB}\nhierarchical_memsw_limit {9 * GIB}",
    }
    root = tree(tmp_path / "1", "4:memory:/../outside", [V1[1].format(top="/")], files)
    assert limits.memory_limit(root) == 5 * GIB
    root = tree(tmp_path / "2", "0::/../outside", [V2], {"memory.max": f"{GIB}"})
    assert limits.memory_limit(root) == GIB


def test_both_versions_at_once(tmp_path: Path) -> None:
    """Some systems have version 2 for names only, beside version 1."""
    mounts = [V1[1].format(top="/"), V2.replace("/sys/fs/cgroup ", "/sys/fs/cgroup/unified ")]
    files = {"memory/job/memory.limit_in_bytes": f"{2 * GIB}", "unified/memory.max": "max"}
    assert limits.memory_limit(tree(tmp_path, "4:memory:/job\n0::/", mounts, files)) == 2 * GIB


def test_a_system_without_groups(tmp_path: Path) -> None:
    assert limits.memory_limit(tmp_path) is None
    assert limits.processor_limit(tmp_path) is None


@pytest.mark.parametrize(("quota", "expected"), [(None, 3), (1, 1), (2, 2), (64, 3)])
def test_cores_are_within_the_quota(monkeypatch: pytest.MonkeyPatch, quota: int | None, expected: int) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 4, 5}, raising=False)
    monkeypatch.setattr(threads, "processor_limit", lambda: quota)
    assert threads.cores.__wrapped__() == expected


#: Becomes another program with a limit; a fork that sets one itself is not safe where this process has threads.
LIMITED = """
import os, resource, sys
kind, value, *line = sys.argv[1:]
resource.setrlimit(int(kind), (int(value), int(value)))
os.execv(line[0], line)
"""


def command(folder: Path, limit: tuple[int, int], sizes: str, *options: str) -> subprocess.CompletedProcess[str]:
    spec = f'name = "s"\nmodel = "linear"\nloss = "ce"\n[grid]\n{sizes}\n[sampling]\nmin_draws = 2\n'
    (folder / "s.toml").write_text(f"{spec}max_draws = 2\ntarget_rse = 0.9\n")
    line = [sys.executable, "-m", "rmtsim", "run", "s.toml", "--store", "s", "--backend", "numpy", *options]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, *map(str, limit), *line],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


LARGE = "n_classes = [20]\naspect_ratio = [0.0025]\ndim = [40]"


def test_a_large_draw_in_few_addresses(tmp_path: Path) -> None:
    """It wants more than there is, and is made in pieces; before, a thread's start hung for ever."""
    done = command(tmp_path, (resource.RLIMIT_AS, 2_200_000 * 1024), LARGE, "--workers", "1")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "s: 2 new draws; 1 of 1 points done")


@pytest.mark.parametrize("kind", [resource.RLIMIT_AS, resource.RLIMIT_DATA])
def test_too_few_addresses_to_begin_with(tmp_path: Path, kind: int) -> None:
    done = command(tmp_path, (kind, 300 * 2**20), LARGE)
    assert done.returncode == 2
    assert "this process may have 300 MiB of addresses (ulimit -v, ulimit -d)" in done.stderr
    assert "at least 512 MiB; raise the limit" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_a_draw_that_does_not_fit_into_the_addresses(tmp_path: Path) -> None:
    done = command(tmp_path, (resource.RLIMIT_AS, 600 * 2**20), LARGE)
    assert done.returncode == 2
    assert "a draw at C = 20, d = 40, N = 16000 needs" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_threads_that_the_system_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool does with what it gets, and a team without helpers: with the same results."""
    given = []

    def start(function: object, arguments: tuple[()]) -> None:
        if len(given) == allowed:
            raise RuntimeError("can't start new thread")
        given.append(really(function, arguments))

    from rmtsim.arrays import pool

    really = pool.start_new_thread
    monkeypatch.setattr(pool, "start_new_thread", start)
    for allowed in (0, 1):
        given.clear()
        with Pool(3) as some, ThreadTeam(3) as team:
            assert some.threads == allowed
            assert [some.submit(pow, 2, k).result() for k in range(4)] == [1, 2, 4, 8]
            assert team.map(abs, range(-5, 0)) == [5, 4, 3, 2, 1]
            with pytest.raises(ZeroDivisionError):
                some.submit(divmod, 1, 0).result()


def test_a_thread_that_dies_in_its_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where memory runs out there: who started it does not wait for ever."""
    monkeypatch.setattr("rmtsim.arrays.pool.start_new_thread", lambda *_: None)
    monkeypatch.setattr("rmtsim.arrays.pool._BEGIN", 0.01)
    with ThreadTeam(2) as team:
        assert team.map(abs, [-1, -2]) == [1, 2]


def test_a_file_is_not_damaged_for_want_of_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Arrow reads with threads of its own; the advice must not be to remove what is sound."""
    store = Store(tmp_path / "s")
    with store.writer() as writer:
        writer.append(rmtsim.simulate(rmtsim.Point("linear", "ce", 3, 4, 8), 2), {"name": "s"})

    def refuse(*_: object, **__: object) -> None:
        raise pa.ArrowException("Unknown error: Failed to launch worker thread: Resource temporarily unavailable")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", refuse)
    assert main(["verify", "--store", str(tmp_path / "s")]) == 1
    out = capsys.readouterr().out
    assert out.startswith("unreadable: ")
    assert "cannot be read (the system gives no more threads, ulimit -u); raise the limit" in out
    assert "torn: " not in out
    assert "remove it" not in out


def test_a_verb_without_threads_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rmtsim.cli.store_verbs.open_existing", lambda _: Thread().start())
    monkeypatch.setattr(Thread, "start", lambda _: (_ for _ in ()).throw(RuntimeError("can't start new thread")))
    assert main(["verify", "--store", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        "rmtsim verify: the system gives no more threads (ulimit -u, or memory); raise the limit\n"
    )


@pytest.mark.parametrize("how", ["cause", "context"])
def test_what_comes_of_an_interrupted_import_is_no_error_of_its_own(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python wraps Ctrl-C within ``__set_name__``, and half a package may fail as it is cleared away."""

    def load(_: str) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            if how == "cause":
                raise RuntimeError("Error calling __set_name__") from error
            raise AttributeError("module 'matplotlib' has no attribute 'rcParams'")  # noqa: B904

    monkeypatch.setattr("rmtsim.cli.store_verbs.open_existing", load)
    assert main(["verify", "--store", str(tmp_path)]) == 3
    assert capsys.readouterr().err == (
        "rmtsim verify: stopped; nothing is left half-done, the same command begins again\n"
    )
