"""The report of a store: one HTML file for those who have nothing but a browser."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from rmtsim.errors import InputError
from rmtsim.files.output_files import check_output, write_output
from rmtsim.pages import sections
from rmtsim.pages.contents import Contents, read_contents
from rmtsim.pages.elements import Content, Markup, element
from rmtsim.pages.overview import at_a_glance, notices
from rmtsim.pages.pictures import pictures_of
from rmtsim.pages.verdicts import verdicts_section
from rmtsim.stats.claims import claims_of
from rmtsim.stats.comparison import compare
from rmtsim.stats.fit import Fit
from rmtsim.store import Store, open_store
from rmtsim.sweeps.selection import Selection
from rmtsim.text.checks import check_flag, check_size
from rmtsim.version import __version__

__all__ = ["check_page", "page", "report"]

#: What a page may load: nothing. Its style and its pictures are within it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"

_SEEDS = 2**63 - 1


def report(
    store: Store | str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    where: str | None = None,
    sweep: str | None = None,
    seed: int | None = None,
    theory: bool = True,
) -> None:
    """Write a report of a store: one HTML file that a browser opens without a network.

    It says what was run, by which version, on which kernels; gives the verdicts on the theory, the figures as vector
    graphics with their numbers, the state and the precision of every point, what is damaged or missing, and the
    commands and specs that make it all again. Equal stores give equal files: no date is written.

    Parameters
    ----------
    store
        A store, or where it is; nothing in it is changed.
    path
        The file to write, which ends in .html; one that is there is replaced.
    where
        A condition on columns of the draws, such as ``"dim == 500 and loss == 'ce'"``; by default all are taken.
    sweep, seed
        The name of a stored spec, and a seed, whose draws are taken; by default all.
    theory
        Whether to hold the draws against the theory, which takes seconds for each size where there is a hidden layer
        with cross-entropy, the first time. Without it there are no verdicts, and figures have no lines.

    Raises
    ------
    InputError
        If there is no store, or nothing in it; an argument is not valid; or the file cannot be written.
    RunError
        If a server does not answer, or the store has rows twice. What is damaged is left out, and named on the page.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import rmtsim
    >>> points = [rmtsim.Point("linear", "mse", C, dim=5, n_samples=10) for C in (2, 10)]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     outcome = rmtsim.run(points, f"{folder}/store", workers=1, sampling={"max_draws": 16})
    ...     rmtsim.report(f"{folder}/store", f"{folder}/report.html")
    ...     Path(f"{folder}/report.html").read_text().count("<h2")
    6
    """
    check_page(path, "path")
    check_flag("theory", theory)
    chosen = None if seed is None else check_size("seed", seed, 0, _SEEDS)
    selection = Selection.of(where, sweep, chosen, dashes="")
    opened = open_store(store)
    if why := opened.absence():
        raise InputError(f"store: {why}; run a sweep into it first, or open another")
    text = page(read_contents(opened, selection), path, theory=theory)
    write_output(path, text, "path")


def check_page(path: str | os.PathLike[str], option: str) -> None:
    """Raise InputError unless ``path`` is a file that a page can be written to."""
    if Path(path).suffix != ".html":
        raise InputError(
            f"{option}: {os.fspath(path)!r} has the suffix {Path(path).suffix!r}; give a file that ends in .html"
        )
    check_output(path, option)


def page(contents: Contents, out: str | os.PathLike[str], options: Sequence[str] = (), *, theory: bool = True) -> str:
    """Return the report of what a store holds as the text of an HTML file.

    Parameters
    ----------
    contents
        What it holds.
    out, options
        The file, of which the name alone is shown, and the options of the command line that select draws, for the
        command that makes it.
    theory
        Whether to hold the draws against the theory.
    """
    summary = contents.summary
    fit = Fit(claims_of(summary), compare(summary)) if theory and summary is not None else None
    pictures = list(pictures_of(contents, theory))
    location = contents.store.location
    parts: dict[str, tuple[str, list[Content]]] = {"run": ("What was run", sections.what_was_run(contents))}
    if summary is not None:
        parts["verdicts"] = ("Verdicts", _verdicts(fit, contents, options))
    if pictures:
        whole = "`rmtsim figure` and `rmtsim export` write all of them."
        parts["figures"] = ("Figures", sections.figures(pictures, whole))
    if len(contents.points):
        parts["points"] = ("Points", sections.points(contents))
    if contents.experiments:
        parts["experiments"] = ("Experiments", sections.experiments(contents))
    parts["damage"] = ("What is damaged or missing", sections.damage(contents))
    parts["again"] = ("How to reproduce it", sections.reproduction(contents, Path(out).name, options))
    links = [element("li", element("a", title, href=f"#{name}")) for name, (title, _) in parts.items()]
    body = element(
        "body",
        element("a", "Skip to the content", href="#content", class_="skip"),
        element(
            "header",
            element("h1", f"Report of the store {location}"),
            element("p", _selected(contents), class_="quiet"),
            element("nav", element("ul", links), aria_label="Sections"),
        ),
        element(
            "main",
            at_a_glance(contents, fit, pictures),
            notices(contents, fit),
            (element("section", element("h2", title), held, id=name) for name, (title, held) in parts.items()),
            id="content",
        ),
        element("footer", f"Made by rmtsim {__version__} from {location}. Norms are squared Frobenius norms."),
    )
    style = Markup((resources.files("rmtsim.pages") / "style.css").read_text("utf-8"))
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="generator", content=f"rmtsim {__version__}"),
        element("title", f"rmtsim: report of {location}"),
        element("style", style),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _selected(contents: Contents) -> str:
    if not contents.selection.options:
        return "All of its draws and tables, as rmtsim finds them in the store."
    return f"The draws that {' and '.join(contents.selection.options)} select; tables of experiments are left out."


def _verdicts(fit: Fit | None, contents: Contents, options: Sequence[str]) -> list[Content]:
    if fit is None:
        return [element("p", "The theory was left out, and with it the verdicts.")]
    return verdicts_section(fit, " ".join(["rmtsim fit --store", contents.store.quoted, *options]))
