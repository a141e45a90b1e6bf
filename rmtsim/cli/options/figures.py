"""Options of the verbs that draw: reproduce, figure, plot and report."""

from __future__ import annotations

from rmtsim.cli.argument_types import directory
from rmtsim.cli.help_names import GROUPS
from rmtsim.cli.shared_arguments import Verb, add_full, add_json, add_running, add_selection, add_store


def add_reproduce(verb: Verb) -> None:
    """Add the verb ``reproduce``."""
    p = verb(
        "reproduce",
        "plan, run, fit and draw figures of the paper; print the verdict table",
        "Writes DIR/store (Parquet), DIR/FIGURE.png and .pdf, the verdicts on fig8, fig9 and vocabulary to "
        "DIR/verdicts.json and .txt, the numbers of the others to DIR/FIGURE.txt. `all` makes every figure, cheapest "
        "first, goes on where one cannot be made, and writes DIR/gallery.md. A repeat resumes or redraws.",
        "figure_verbs",
    )
    p.add_argument(
        "figures",
        nargs="*",
        metavar="FIGURE",
        help=f"fig8 and fig9 (default: both) stand for their MSE cases, too; or all; or any of {GROUPS}",
    )
    add_full(p)
    p.add_argument("--out", default="out", type=directory, metavar="DIR", help="where everything goes (default: out)")
    add_running(p)


def add_figure(verb: Verb) -> None:
    """Add the verb ``figure``."""
    p = verb(
        "figure",
        "draw a figure from a store, or list all",
        "The suffix of FILE, .png, .pdf or .svg, chooses the format. Figures of draws take those of any sweep of their "
        "model and loss: fig8 those of every linear model with cross-entropy, not of the sweep figure8 alone.",
        "figure_verbs",
    )
    p.add_argument("name", nargs="?", metavar="NAME", help="a name that --list prints, such as fig8")
    add_store(p, required=False)
    p.add_argument("--out", metavar="FILE", help="file to write: .png, .pdf or .svg")
    add_selection(p)
    add_full(p)
    p.add_argument(
        "--measured",
        nargs="+",
        metavar="FILE",
        help="with head: draw these measurements, which `rmtsim measure --json` printed, in place of a store's",
    )
    p.add_argument(
        "--by-step",
        action="store_true",
        help="with --measured: FILEs are checkpoints of one network, each after the steps of training that the last "
        "number in its name says, as in step100.json (default: they are models)",
    )
    p.add_argument("--list", action="store_true", help="print every figure with its source, cost and command instead")
    add_json(p)


def add_plot(verb: Verb) -> None:
    """Add the verb ``plot``."""
    p = verb(
        "plot",
        "plot any column of the table of means against any other",
        "The columns are those that `rmtsim export` writes: sizes (n_classes, dim, n_samples, width, aspect_ratio), "
        "model, loss, layer, the ensemble, draws, diag_sqfro, offdiag_sqfro, ratio, and std_error_diag, rse_diag, "
        "skewness_diag, heavy_tail_diag and the like of offdiag and ratio. With bars of a standard error, and the "
        "theory where there is one; faint marks have too heavy a tail.",
        "plot_verb",
    )
    add_store(p)
    p.add_argument("--out", required=True, metavar="FILE", help="file to write: .png, .pdf or .svg")
    p.add_argument("--x", default="n_classes", metavar="COLUMN", help="along the axis (default: n_classes)")
    p.add_argument("--y", default="ratio", metavar="COLUMN", help="upwards (default: ratio)")
    p.add_argument(
        "--by",
        metavar="COLUMN",
        help="a colour for each value; where more varies, markers tell it apart (default: layer, or else what varies)",
    )
    p.add_argument("--panel", metavar="COLUMN", help="a panel for each value")
    add_selection(p, "rows of the table of means")
    p.add_argument(
        "--linear",
        nargs="+",
        choices=("x", "y"),
        help="axes that are linear (default: logarithmic where no value is negative and positive ones differ by more "
        "than a factor of 3)",
    )
    p.add_argument("--no-theory", action="store_true", help="leave the theory out")


def add_report(verb: Verb) -> None:
    """Add the verb ``report``."""
    p = verb(
        "report",
        "write a report of a store: one HTML file that needs no network",
        "It says what was run, by which version and kernels; gives the verdicts, the figures with their numbers, the "
        "state and precision of every point, what is damaged or missing, and the commands and specs that make it "
        "again. Equal stores give equal files.",
        "report_verb",
    )
    add_store(p)
    p.add_argument("--out", required=True, metavar="FILE", help="file to write: .html")
    add_selection(p)
    p.add_argument("--no-theory", action="store_true", help="leave the theory out, and the verdicts with it")
