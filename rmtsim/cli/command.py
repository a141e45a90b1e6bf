"""The command line: parses the arguments and calls the verb, whose module is loaded when it is needed.

Data goes to stdout, progress and messages to stderr. The exit codes are those of `rmtsim.cli.exit_codes`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from rmtsim.arrays.pool import threads_at_work
from rmtsim.cli.exit_codes import BAD_INPUT, DONE, FAILED, UNFINISHED
from rmtsim.cli.libraries import prepare_libraries
from rmtsim.cli.parser import parser
from rmtsim.cli.printing import print_message, printed_messages, stdout_refused
from rmtsim.cli.signals import release_signals
from rmtsim.cli.streams import finish_stdout, prepare_streams
from rmtsim.errors import GOES_ON, InputError, RunError, short_of_threads


def command(argv: Sequence[str] | None) -> int:
    """Run a command line, or with None that of this process; return the exit code."""
    if argv is None:
        prepare_streams()
    try:
        with printed_messages():
            code = _call(parser().parse_args(argv), as_process=argv is None)
    except SystemExit:  # after --help, or for a command line that is not valid
        finish_stdout()
        raise
    except ModuleNotFoundError as missing:  # a package that a help text needs
        print_message(f"rmtsim: {_missing_package(missing)}")
        return FAILED
    error = finish_stdout()
    if error is not None and not isinstance(error, BrokenPipeError) and code == DONE:  # else it was reported
        print_message(f"rmtsim: {stdout_refused(error)}")
        code = FAILED
    if argv is None and threads_at_work():  # a draw, which may take minutes, would hold up the end
        sys.stderr.flush()
        os._exit(code)
    return code


def _missing_package(error: ModuleNotFoundError) -> str:
    # The package, not the module of it that was asked for first: matplotlib, where that is matplotlib.pyplot.
    package = str(error.name).partition(".")[0]
    return f"the Python package {package} is needed, and is not installed; install it"


def _call(arguments: argparse.Namespace, as_process: bool) -> int:
    """Run the verb of a command line; return the exit code. A process of its own heeds all signals that ask to end."""
    who = f"rmtsim {arguments.verb}:"
    try:
        if as_process:
            for number in (signal.SIGTERM, signal.SIGHUP):
                if signal.getsignal(number) is not signal.SIG_IGN:  # as by nohup
                    signal.signal(number, signal.default_int_handler)
            release_signals()
            prepare_libraries()
        if as_process and arguments.verb in ("run", "reproduce"):
            from rmtsim.cli.relaunch import relaunch_with_faster_kernel

            relaunch_with_faster_kernel()
        # Loaded here, so that --help answers at once.
        verb: Callable[[argparse.Namespace], int] = getattr(import_module(arguments.module), arguments.verb)
        return verb(arguments)
    except BrokenPipeError:  # the reader of our stdout left
        return DONE
    except InputError as error:
        print_message(f"{who} {str(error).removeprefix(f'{arguments.verb}: ')}")
        return BAD_INPUT
    except OSError as error:
        if error.filename is None:
            problem = error.strerror or error
            print_message(f"{who} the system does not read or write what it should ({problem}); try again")
            return FAILED
        print_message(f"{who} {error.filename} cannot be used ({error.strerror}); give another path")
        return BAD_INPUT
    except ModuleNotFoundError as error:
        print_message(f"{who} {_missing_package(error)}")
        return FAILED
    except (RunError, MemoryError) as error:
        said = str(error).removeprefix(f"{arguments.verb}: ") or "not enough memory; give smaller sizes"
        print_message(f"{who} {said}")
        return FAILED
    except (Exception, KeyboardInterrupt) as error:
        if _of_interrupt(error):
            again = "nothing is left half-done, the same command begins again"
            goes_on = arguments.verb in ("run", "reproduce", "merge", "compact")
            print_message(f"{who} stopped; {GOES_ON if goes_on else again}")
            return UNFINISHED
        if not short_of_threads(error):
            raise
        print_message(f"{who} the system gives no more threads (ulimit -u, or memory); raise the limit")
        return FAILED


def _of_interrupt(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, or came of it: Python and packages raise others where an import is interrupted."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None
