"""Progress in a notebook: one output that is written over, and that stays in the saved notebook."""

from __future__ import annotations

import sys
from html import escape
from importlib import import_module
from types import TracebackType
from typing import Any

from rmtsim.sweeps.progress import Progress, most_telling
from rmtsim.text import call_progress
from rmtsim.text.output import presentable

#: Open points, and failures, that are shown.
_ROWS = 5


class NotebookDisplay:
    """Shows the progress of a run in the output of a notebook's cell; a context manager.

    It is HTML that IPython writes over. Progress bars made of widgets need a package of their own beside Jupyter, and
    leave an empty box in a notebook that is saved, converted or shown by others.
    """

    def __init__(self) -> None:
        self._handle: Any = None

    def __enter__(self) -> NotebookDisplay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def update(self, progress: Progress) -> None:
        """Show where the run stands."""
        ipython: Any = import_module("IPython.display")

        output = ipython.HTML(html_of(progress))
        if self._handle is None:
            self._handle = ipython.display(output, display_id=True)
        else:
            self._handle.update(output)


def html_of(progress: Progress) -> str:
    """Return a bar with a line of numbers, then failures and the points that want more draws."""
    lines = [f"<progress value='{progress.finished}' max='{progress.total}'></progress> {_text(progress)}"]
    lines += [_text(failure) for failure in progress.failures[:_ROWS]]
    shown = most_telling(progress.open_points, _ROWS)
    lines += [f"<small>{_text(point)}</small>" for point in shown]
    if more := len(progress.open_points) - len(shown):
        lines.append(f"<small>… and {more} more</small>")
    return "<br>".join(lines)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, so that outputs can be displayed and written over."""
    return call_progress.in_notebook(sys.stderr)


def _text(shown: object) -> str:
    return escape(presentable(shown))
