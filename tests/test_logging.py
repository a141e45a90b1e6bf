"""Messages of the library are log records; the command line prints them, a user of Python routes or silences them."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rmtsim.cli.main import main
from rmtsim.cli.printing import printed_messages
from rmtsim.store import Store
from rmtsim.store.merge import merge
from tests.filled_stores import SPEC, rows_of


@pytest.fixture
def source(tmp_path: Path) -> Store:
    """A store from which someone removed a shard: whoever merges it is warned."""
    store = Store(tmp_path / "source")
    with store.writer() as writer:
        writer.save_spec("test", SPEC)
        for first in (0, 2):
            writer.append(rows_of(range(first, first + 2)), SPEC)
    Path(store.shards()[0]).unlink()
    return store


def warning(source: Store) -> str:
    return f"SOURCE: {source.location} lacks commit 1, whose shards someone removed; their rows are not merged\n"


@pytest.fixture
def library_logger() -> Iterator[logging.Logger]:
    """The library's logger; what a test sets there is undone when the test is over."""
    logger = logging.getLogger("rmtsim")
    level, handlers = logger.level, list(logger.handlers)
    yield logger
    logger.setLevel(level)
    logger.handlers = handlers


def test_the_command_line_prints_messages_as_they_are(
    source: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str], library_logger: logging.Logger
) -> None:
    for name in ("one", "two"):  # each message once, however many commands a process has run
        assert main(["merge", str(source.location), "--store", str(tmp_path / name)]) == 0
        message, end = capsys.readouterr().err.splitlines(keepends=True)
        assert message == warning(source)
        assert end.startswith(str(tmp_path / name))
    assert not library_logger.handlers
    assert library_logger.propagate
    assert library_logger.level == logging.NOTSET


def test_the_command_line_masks_secrets_and_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("rmtsim.store.lock")
    with printed_messages():
        log.info("%s is \x1b[31mred", "s3://AKIAEX:SECRET@bucket/p")
    log.info("no command runs any more")
    assert capsys.readouterr().err == "s3://***@bucket/p is \\x1b[31mred\n"


def test_messages_can_be_routed(source: Store, tmp_path: Path, library_logger: logging.Logger) -> None:
    text = io.StringIO()
    library_logger.addHandler(logging.StreamHandler(text))
    merge([source.location], Store(tmp_path / "into"))
    assert text.getvalue() == warning(source)


@pytest.mark.parametrize(
    ("setting", "shown"),
    [("", True), ("logging.getLogger('rmtsim').setLevel(logging.ERROR)", False)],
    ids=["nothing configured", "silenced"],
)
def test_without_the_command_line(source: Store, tmp_path: Path, setting: str, shown: bool) -> None:
    """With nothing configured, logging shows warnings, and no messages below them."""
    script = f"""
import logging
from rmtsim.store import Store
from rmtsim.store.merge import merge
{setting}
logging.getLogger("rmtsim.sweeps").info("three of four done")
merge([{str(source.location)!r}], Store({str(tmp_path / "into")!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr == (warning(source) if shown else "")
    assert done.stdout == ""
