"""A Monte Carlo engine for the Hessian structure of neural networks.

It evaluates closed-form Hessian blocks of linear and one-hidden-layer classifiers over random draws (X, W, V), and the
theory that predicts them (Dong, Zhang, Luo, Yao, Sun: arXiv:2505.02809).

What is simulated
    Point            model, loss and sizes, all that fixes the distribution of a draw
    Ensemble         variances of data and weights

One point
    simulate         draws of a point: mean squared norms of the blocks of every layer
    predict          the theory at points, in the same columns and units
    summarize        means over draws with standard errors

A sweep
    run              runs or resumes a sweep: a built-in name, a TOML file, a dict, a Spec, or a list of points
    open_store       a store of draws, in a directory or at an address such as s3://bucket/prefix
    fit              decay rates in the number of classes, with verdicts on the theory
    plot.decay       measured values against the number of classes, with the theory, on axes of your own
    plot.columns     any column of the summary against any other, the same way
    report           all of that as one HTML file

Arrays of your own
    block_norms      the statistics of `simulate` for a network with at most one hidden layer
    layer_norms      norms and shares of the blocks of every layer, for deeper networks too
    hessian          the full Hessian

A trained network
    measure          its last layer: norms of all blocks beside nulls, from arrays or files
    plot.head        these over steps of training or over models; plot.head_classes, plot.head_blocks

What these return and raise
    Spec, Store, Outcome, Progress, Fit, BlockNorms, LayerNorms, Measurement, InputError, RunError

help(rmtsim.simulate) and the like say more. Losses are means over samples, and norms are squared Frobenius norms that
are not divided by anything. Modules that are not named here are internal.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rmtsim.version import __version__ as __version__

if TYPE_CHECKING:
    from rmtsim import plot as plot
    from rmtsim.errors import InputError as InputError
    from rmtsim.errors import RunError as RunError
    from rmtsim.full_hessian.assembled import hessian as hessian
    from rmtsim.full_hessian.layer_norms import LayerNorms as LayerNorms
    from rmtsim.full_hessian.layer_norms import layer_norms as layer_norms
    from rmtsim.heads.measurement import measure as measure
    from rmtsim.heads.results import Measurement as Measurement
    from rmtsim.kernels.norms import block_norms as block_norms
    from rmtsim.kernels.results import BlockNorms as BlockNorms
    from rmtsim.model.ensemble import Ensemble as Ensemble
    from rmtsim.model.point import Point as Point
    from rmtsim.pages.report import report as report
    from rmtsim.sampling.simulation import simulate as simulate
    from rmtsim.stats.fit import Fit as Fit
    from rmtsim.stats.fit import fit as fit
    from rmtsim.stats.prediction_table import predict as predict
    from rmtsim.stats.summary import summarize as summarize
    from rmtsim.store.store import Store as Store
    from rmtsim.store.store import open_store as open_store
    from rmtsim.sweeps.launch import run as run
    from rmtsim.sweeps.progress import Progress as Progress
    from rmtsim.sweeps.runner import Outcome as Outcome
    from rmtsim.sweeps.spec import Spec as Spec

#: The module of every public name. It is loaded when the name is asked for: the command line starts without pandas and
#: SciPy, which take a second.
_HOMES = {
    "BlockNorms": "kernels.results",
    "Ensemble": "model.ensemble",
    "Fit": "stats.fit",
    "InputError": "errors",
    "LayerNorms": "full_hessian.layer_norms",
    "Measurement": "heads.results",
    "Outcome": "sweeps.runner",
    "Point": "model.point",
    "Progress": "sweeps.progress",
    "RunError": "errors",
    "Spec": "sweeps.spec",
    "Store": "store.store",
    "block_norms": "kernels.norms",
    "fit": "stats.fit",
    "hessian": "full_hessian.assembled",
    "layer_norms": "full_hessian.layer_norms",
    "measure": "heads.measurement",
    "open_store": "store.store",
    "predict": "stats.prediction_table",
    "report": "pages.report",
    "run": "sweeps.launch",
    "simulate": "sampling.simulation",
    "summarize": "stats.summary",
}


def __getattr__(name: str) -> Any:
    if name == "plot":
        return import_module("rmtsim.plot")
    if name not in _HOMES:
        raise AttributeError(f"module 'rmtsim' has no attribute {name!r}")
    value = getattr(import_module(f"rmtsim.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


# There is no __all__: pydoc would put the whole text of every function into help(rmtsim).
def __dir__() -> list[str]:
    return sorted([*_HOMES, "__doc__", "__version__", "plot"])
