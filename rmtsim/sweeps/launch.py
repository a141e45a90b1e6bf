"""Running sweeps from Python: whatever describes a sweep, any store, and progress where the user looks."""

from __future__ import annotations

import hashlib
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from numbers import Real
from typing import Any, cast

from rmtsim.errors import InputError, RunError
from rmtsim.model.choices import BackendName
from rmtsim.model.point import Point, check_point
from rmtsim.store import Store, open_store
from rmtsim.sweeps.audit import check_audit
from rmtsim.sweeps.executors import check_place
from rmtsim.sweeps.progress import Progress
from rmtsim.sweeps.reading import read_states_of_all
from rmtsim.sweeps.runner import Outcome
from rmtsim.sweeps.runner import run as run_sweep
from rmtsim.sweeps.spec import Spec, from_document
from rmtsim.sweeps.state import PointState, states_of
from rmtsim.text.checks import check_flag, check_size, is_several
from rmtsim.text.output import in_place
from rmtsim.text.sizes import as_bytes
from rmtsim.text.words import abridge, number_of

_log = logging.getLogger(__name__)


def run(
    spec: str | os.PathLike[str] | Mapping[str, Any] | Spec | Point | Iterable[Point],
    store: Store | str | os.PathLike[str],
    *,
    workers: int | None = None,
    progress: bool | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    sampling: Mapping[str, Any] | None = None,
    address: str = "local",
    backend: BackendName = "auto",
    memory: float | str | None = None,
    time_limit: float = math.inf,
    fail_fast: bool = False,
    audit: float = 0.0,
) -> Outcome:
    """Run or resume a sweep, until every point has reached its target or ``max_draws``.

    A finished sweep touches no file. One that was killed or interrupted goes on where its last commit ended, and ends
    with the same rows, for any number of workers.

    Parameters
    ----------
    spec
        The name of a sweep that comes with rmtsim, such as ``"figure8"``, the path of a TOML file, its content as a
        dict, a Spec, a point, or several. `rmtsim run --help` lists the keys.
    store
        Where draws go: a store, a directory, or an address such as ``"s3://bucket/prefix"``.
    workers
        The number of batches that are computed at a time; by default one for each core.
    progress
        Whether to show how far the sweep is: in place in a terminal and in a notebook, as a line every few seconds
        elsewhere. By default it is shown in a terminal and in a notebook.
    on_progress
        Called after every commit, about once a second, with a frozen record of how far the sweep is.
    sampling
        For points: the table ``[sampling]`` of a spec, such as ``{"target_rse": 0.005, "max_draws": 1000}``.
    address
        Where to compute: ``"local"``, in threads of this process; ``"ray"``, in a Ray on this machine; ``"auto"`` or
        ``"HOST:PORT"``, on a cluster, which is asked only if there is something to do.
    backend
        ``"numpy"``, ``"cupy"`` or ``"auto"``.
    memory
        What all workers may use together (on a cluster, each): bytes, or a size such as ``"8GiB"``.
    time_limit
        Seconds after which to stop; the same call goes on.
    fail_fast
        Whether to stop at the first batch that has failed for good. By default all others go on.
    audit
        On a cluster, the share of the batches, from 0 to 1, that are computed on a second node and compared. A node
        that computes wrongly is left out, and what it alone has computed in this run is made again.

    Returns
    -------
    Outcome
        What the run did, and where every point stands.

    Raises
    ------
    InputError
        If the sweep is not valid or cannot run here: no such backend, too little memory, a store with other draws.
    RunError
        If the store fails, or two nodes differ at an audit and no third can tell which is right; everything that was
        committed before is safe.

    Examples
    --------
    >>> import tempfile
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "mse", C, dim=4, n_samples=8) for C in (2, 5)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = rmtsim.run(points, folder, workers=1, sampling={"max_draws": 20, "target_rse": 0.5})
    ...     repeated = rmtsim.run(points, folder, workers=1, sampling={"max_draws": 20, "target_rse": 0.5})
    >>> outcome
    Outcome(40 new draws; 2 of 2 points done)
    >>> repeated
    Outcome(nothing to do; 2 of 2 points done)
    """
    specs, opened = as_specs(spec, sampling), open_store(store)
    check_place(address, backend)
    if progress is not None:
        progress = check_flag("progress", progress)
    if not isinstance(time_limit, Real) or isinstance(time_limit, bool) or not time_limit >= 0:
        raise InputError(f"time_limit: {abridge(time_limit)} is not valid; give a number of seconds")
    if on_progress is not None and not callable(on_progress):
        raise InputError(f"on_progress: {abridge(on_progress)} is not valid; give a function of one record")
    options: dict[str, Any] = {
        "address": address,
        "backend": backend,
        "workers": None if workers is None else check_size("workers", workers),
        "memory": None if memory is None else as_bytes(memory),
        "fail_fast": check_flag("fail_fast", fail_fast),
        "audit": check_audit(audit, address, workers),
    }
    outcomes: list[Outcome] = []
    end = time.monotonic() + time_limit
    for one in specs:
        left = max(0.0, end - time.monotonic())
        outcomes.append(_run(one, opened, progress, on_progress, options | {"time_limit": left}))
        if outcomes[-1].stopped or (fail_fast and outcomes[-1].failures):
            break
    not_begun = _not_begun(specs[len(outcomes) :], opened)
    return Outcome(
        [state for states in (*(outcome.states for outcome in outcomes), *not_begun) for state in states],
        sum(outcome.new_draws for outcome in outcomes),
        [failure for outcome in outcomes for failure in outcome.failures],
        outcomes[-1].stopped or ("failure" if not_begun else ""),
    )


def _not_begun(specs: Sequence[Spec], store: Store) -> list[list[PointState]]:
    """Return the points of sweeps that were not begun, as the store has them.

    They are without draws where the store cannot be read: what the sweeps before them have done is to be told all the
    same.
    """
    try:
        return read_states_of_all(specs, store)
    except (InputError, RunError) as error:
        _log.warning("run: %s not begun, and their draws are not counted (%s)", _sweeps(len(specs)), error)
        return [[*states_of(spec).values()] for spec in specs]


def _sweeps(count: int) -> str:
    return f"{number_of(count, 'sweep')} {'was' if count == 1 else 'were'}"


def _run(
    spec: Spec,
    store: Store,
    progress: bool | None,
    on_progress: Callable[[Progress], None] | None,
    options: Mapping[str, Any],
) -> Outcome:
    from rmtsim.sweeps.notebook_display import NotebookDisplay, in_notebook  # they are loaded where a sweep runs

    called = [on_progress] if on_progress else []
    messages: Callable[[str], None] | None = None
    with ExitStack() as shown:
        if progress is not False and in_notebook():
            called.append(shown.enter_context(NotebookDisplay()).update)
        elif progress or (progress is None and in_place()):
            from rmtsim.sweeps.display import ProgressDisplay

            display = shown.enter_context(ProgressDisplay(spec.name))
            called.append(display.update)
            messages = display.say

        def update(record: Progress) -> None:
            for one in called:
                one(record)

        return run_sweep(spec, store, on_progress=update if called else None, on_message=messages, **options)


def as_specs(
    spec: str | os.PathLike[str] | Mapping[str, Any] | Spec | Point | Iterable[Point],
    sampling: Mapping[str, Any] | None = None,
) -> list[Spec]:
    """Return what describes a sweep as specs: one, but for points that do not form one grid.

    Raises
    ------
    InputError
        If there is no such spec, anything in it is not valid, or something in a list is no point.
    """
    if sampling is not None and not isinstance(sampling, Mapping):
        raise InputError(f"sampling: {abridge(sampling)} is not valid; give a dict, such as {{'target_rse': 0.005}}")
    if isinstance(spec, Point):
        spec = [spec]
    if is_several(spec) and not isinstance(spec, os.PathLike | Mapping):
        return _of_points(list(cast("Iterable[Point]", spec)), {} if sampling is None else sampling)
    if sampling is not None:
        raise InputError("sampling: it was given beside a spec, which has its own; write it into the spec")
    if isinstance(spec, Spec):
        return [spec]
    if isinstance(spec, Mapping):
        return [from_document(spec)]
    if isinstance(spec, str | os.PathLike):
        return [_loaded(os.fspath(spec))]
    raise InputError(
        f"spec: {abridge(spec)} is not valid; give the name of a built-in sweep, the path of a TOML file, a dict, an "
        "rmtsim.Spec, an rmtsim.Point, or a list of points"
    )


def _loaded(source: str) -> Spec:
    """Return the spec of a sweep; raise InputError, which says how, where training runs are described."""
    from rmtsim.sweeps.training_spec import load_any  # with training, which few sweeps need

    spec = load_any(source)
    if not isinstance(spec, Spec):
        raise InputError(f"spec: {source} describes training runs; run them by `rmtsim run {source} --store DIR`")
    return spec


def _of_points(points: list[Any], sampling: Mapping[str, Any]) -> list[Spec]:
    """Return specs whose grids have just these points: one for each model, loss, ensemble, d, N and m."""
    if not points:
        raise InputError("spec: the list has no points; give at least one rmtsim.Point")
    for point in points:
        check_point(point)
    groups: dict[tuple[Any, ...], list[Point]] = {}
    for point in dict.fromkeys(points):
        groups.setdefault(
            (point.model, point.loss, point.ensemble, point.dim, point.n_samples, point.width), []
        ).append(point)
    return [_of_group(group, sampling) for group in groups.values()]


def _of_group(points: list[Point], sampling: Mapping[str, Any]) -> Spec:
    first = points[0]
    identity = hashlib.sha256("".join(point.id for point in points).encode()).hexdigest()[:12]
    grid = {
        "n_classes": sorted(point.n_classes for point in points),
        "aspect_ratio": [first.aspect_ratio],
        "dim": [first.dim],
        **({} if first.width is None else {"width": [first.width]}),
    }
    document = {
        "name": f"points-{identity}",
        "model": first.model,
        "loss": first.loss,
        "grid": grid,
        "ensemble": first.ensemble.document(),
        "sampling": sampling,
    }
    try:
        spec = from_document(document)
    except InputError as error:
        if "aspect_ratio" not in str(error):
            raise
        raise InputError(
            f"spec: at {first.sizes}, d/N = {first.dim}/{first.n_samples} is no decimal number, which a stored sweep "
            "needs; give an N for which it is, or use rmtsim.simulate"
        ) from None
    return spec
