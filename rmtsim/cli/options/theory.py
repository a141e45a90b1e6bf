"""Options of the verb theory."""

from __future__ import annotations

from rmtsim.cli.argument_types import positive, seed, whole
from rmtsim.cli.shared_arguments import Verb, add_json
from rmtsim.model.choices import ACTIVATIONS, LOSSES, MODELS, WEIGHTS
from rmtsim.model.ensemble import INITS


def add_theory(verb: Verb) -> None:
    """Add the verb ``theory``."""
    p = verb(
        "theory",
        "predict the mean squared norms of diagonal and off-diagonal blocks",
        "Prints the limit d, N -> infinity at each number of classes, and its leading coefficients as C -> infinity "
        "(large_c). With --dim and --samples it prints the value at that finite size instead; with --spectrum, the law "
        "of the eigenvalues as d, N -> infinity.",
        "theory_verb",
    )
    p.add_argument("--model", required=True, choices=MODELS, help="the network")
    p.add_argument("--loss", required=True, choices=LOSSES, help="cross-entropy or squared error")
    p.add_argument("--classes", required=True, nargs="+", type=whole, metavar="C", help="numbers of classes")
    p.add_argument("--aspect-ratio", nargs="+", type=positive, metavar="G", help="d/N, one or more")
    p.add_argument("--width", nargs="+", type=whole, metavar="M", help="hidden neurons, with one_hidden")
    p.add_argument("--dim", type=whole, metavar="D", help="input dimension, with --samples")
    p.add_argument("--samples", type=whole, metavar="N", help="number of samples, with --dim")
    p.add_argument(
        "--init",
        default="lecun",
        choices=INITS,
        help="variance of a weight: 1/fan_in (lecun, default), 2/fan_in (he), 2/(fan_in + fan_out) (xavier, which is "
        "2/fan_in for fan-in d in the limit d -> infinity)",
    )
    for name, what in (("data-variance", "variance of the data"), ("hidden-gain", "W's"), ("last-gain", "V's")):
        meaning = what if name == "data-variance" else f"factor of {what} variance"
        p.add_argument(f"--{name}", default=1.0, type=positive, metavar="X", help=f"{meaning} (default: 1)")
    p.add_argument(
        "--data",
        default="gaussian",
        metavar="LAW",
        help="law of the data: gaussian (default), rademacher, uniform, student_t:NU, sphere, ar1:RHO, spectrum:ALPHA "
        "or spiked:K:S",
    )
    p.add_argument("--weights", default="gaussian", choices=WEIGHTS, help="law of the weights (default: gaussian)")
    p.add_argument("--activation", default="relu", choices=ACTIVATIONS, help="of the hidden neurons (default: relu)")
    p.add_argument("--spectrum", action="store_true", help="the limiting density of the blocks' eigenvalues instead")
    p.add_argument(
        "--block",
        nargs="+",
        choices=("diag", "offdiag"),
        help="with --spectrum: which blocks (default: both)",
    )
    p.add_argument("--seed", type=seed, help="with --spectrum and one hidden layer: of V, which is fixed (default: 0)")
    p.add_argument(
        "--out", metavar="FILE", help="with --spectrum: draw into this file, .png, .pdf or .svg, instead of printing"
    )
    add_json(p)
