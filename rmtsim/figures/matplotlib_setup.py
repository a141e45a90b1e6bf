"""matplotlib as the figures need it: with settings of our own, whatever the user has set, and loaded only to draw."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext, suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtsim.errors import InputError, RunError
from rmtsim.files.output_files import check_output, write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Formats of files, with the names of metadata that would differ from day to day or from version to version.
FORMATS = {
    ".png": ["Software"],
    ".pdf": ["Creator", "Producer", "CreationDate"],
    ".svg": ["Creator", "Date", "Format", "Type"],
}

#: What draws each format, without a window.
_BACKENDS = {".png": "agg", ".pdf": "pdf", ".svg": "svg"}

#: What the names of parts in a .svg are made from, else at random.
_SALT = {"svg.hashsalt": "rmtsim"}

_DPI = 200

#: Variables by which matplotlib finds a user's settings when it is imported, beside a file in the current folder.
_VARIABLES = ("MPLBACKEND", "MATPLOTLIBRC")


@contextmanager
def settings(style: dict[str, Any]) -> Iterator[None]:
    """Have matplotlib's own defaults and a style for as long as something is drawn; then what was before."""
    import matplotlib as mpl

    ours: dict[Any, Any] = dict(mpl.rcParamsDefault)
    ours = {name: value for name, value in ours.items() if not name.startswith("backend")}
    with mpl.rc_context(ours | style):
        yield


def encoded(figure: Figure, suffix: str) -> bytes:
    """Return a figure as a file of this suffix holds it: PNG (200 dots per inch), PDF or SVG.

    Equal figures give equal bytes: no date is written, and no setting of the user's plays a part. All files of a figure
    have the places that its parts take in a PNG; they are found once, for that takes as long as drawing.

    Raises
    ------
    RunError
        If text that comes from a table is no formula where it should be one.
    """
    file, canvas, dpi = BytesIO(), figure.canvas, figure.dpi
    try:  # ``Figure.savefig`` would lay it out for each file anew, and draw it twice
        with settings(_SALT), _formulas():
            figure.dpi = _DPI
            shown = _canvas(figure, ".png")
            if engine := figure.get_layout_engine():
                engine.execute(figure)
                figure.set_layout_engine("none")
            if suffix != ".png":
                shown = _canvas(figure, suffix)
            getattr(shown, f"print_{suffix[1:]}")(file, metadata=dict.fromkeys(FORMATS[suffix]))
    finally:
        figure.dpi = dpi
        figure.set_canvas(canvas)
    return file.getvalue()


def _canvas(figure: Figure, suffix: str) -> Any:
    """Give a figure what draws it in a format."""
    return import_module(f"matplotlib.backends.backend_{_BACKENDS[suffix]}").FigureCanvas(figure)


def check_picture_file(path: str | Path) -> None:
    """Raise InputError unless ``path`` is a file that `save` can write."""
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise InputError(f"--out: {str(path)!r} has the suffix {suffix!r}; give one of {', '.join(FORMATS)}")
    check_output(path)


def save(figure: Figure, path: str | Path) -> None:
    """Write a PNG (200 dots per inch), PDF or SVG; equal figures give equal files, for no date is written.

    Raises
    ------
    InputError
        If the suffix is another, or the directory does not exist.
    """
    check_picture_file(path)
    write_output(path, encoded(figure, Path(path).suffix))


@contextmanager
def _formulas() -> Iterator[None]:
    """Have text with dollars that is no formula end in a sentence, and letters that no font has be drawn as boxes."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from font")
            yield
    except ValueError as error:
        if not re.search(r"Parse\w*Exception", str(error)):
            raise
        text = next((line for line in str(error).splitlines() if line), "")
        raise RunError(f"figure: the label {text!r} of its table is no formula; verify the store") from None


def load_matplotlib() -> None:
    """Import matplotlib, where it is not imported yet, without the user's settings and without messages on its folder.

    A backend that is not there, or a file that it cannot read, would end the import. Afterwards the user's settings
    hold again for the rest of the process, as far as they are valid.
    """
    if sys.modules.get("matplotlib"):
        return
    log, before = logging.getLogger("matplotlib"), {name: os.environ.get(name) for name in _VARIABLES}
    level = log.level
    log.setLevel(logging.ERROR)
    os.environ.pop("MPLBACKEND", None)
    os.environ["MATPLOTLIBRC"] = os.devnull
    try:
        try:
            with chdir("/") if os.path.exists("matplotlibrc") else nullcontext():  # a file here comes before all others
                import_module("matplotlib.pyplot")
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value
        _restore()  # not after Ctrl-C: what is half imported would fail in its place
    finally:
        log.setLevel(level)


def _restore() -> None:
    """Give the rest of the process the user's settings, as matplotlib would have done, where they are valid."""
    import matplotlib as mpl

    with suppress(Exception):
        mpl.rc_file(mpl.matplotlib_fname())
    with suppress(Exception):
        if backend := os.environ.get("MPLBACKEND"):
            mpl.rcParams["backend"] = backend
