"""Runs the commands and the Python of a page, in their order, and compares what they print with what the page says.

On a page, a block ``toml`` is a file, named by its key ``name``; ``sh`` and ``python`` are run, the latter in one
session; one that begins with the name of a file, as in ``# ratios.py``, is that file, too. A block ``text`` after them
is what they printed, where ``…`` stands for anything. A command that does not end with 0 has a comment
``# ends with 3``.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from rmtsim.cli.main import main
from tests.markdown import ROOT, tokens


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return the language and the text of each fenced block of a page."""
    return [(token.info.strip(), token.content) for token in tokens(page) if token.type == "fence"]


def run_page(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a page in a folder; fail where a command ends or prints otherwise than the page says."""
    monkeypatch.chdir(folder)
    session: dict[str, Any] = {"__name__": "session"}
    printed = ""
    for language, text in blocks(page):
        if language == "toml":
            Path(f"{tomllib.loads(text)['name']}.toml").write_text(text)
        elif language == "sh":
            printed = "".join(map(run_line, text.replace("\\\n", " ").splitlines()))
        elif language == "python":
            if file := re.match(r"# (\w+\.py)\n", text):
                Path(file[1]).write_text(text)
            with contextlib.redirect_stdout(io.StringIO()) as said:
                exec(compile(text, str(page), "exec"), session)
            printed = said.getvalue()
        elif language == "text":
            assert matches(text, printed), f"{page.name}: the page says\n{text}\nand it printed\n{printed}"


def run_line(line: str) -> str:
    """Run a line of a shell; return what it printed on stdout, then on stderr. rmtsim runs in this process."""
    command, _, comment = line.partition("  # ")
    expected = int(ends[1]) if (ends := re.search(r"ends with (\d)", comment)) else 0
    if command.startswith("rmtsim "):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code, said = main(shlex.split(command)[1:]), ""
        said = out.getvalue() + err.getvalue()
    else:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # this Python, and this rmtsim
        environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}
        line = ["bash", "-c", command]
        done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
        code, said = done.returncode, done.stdout + done.stderr
    assert code == expected, f"{command}: ended with {code}, printed {said}"
    return said


def matches(text: str, printed: str) -> bool:
    """Whether what was printed is what a page says, but for spaces and what its ``…`` stand for.

    Examples
    --------
    >>> matches("a  1\\n… left\\n", "a 1\\n3 s left\\n"), matches("a …\\n", "b 1\\n")
    (True, False)
    """
    said = " ".join(text.split())
    pattern = r"\s*".join(".*?".join(map(re.escape, word.split("…"))) for word in said.split(" "))
    return re.fullmatch(pattern, " ".join(printed.split()), re.DOTALL) is not None
