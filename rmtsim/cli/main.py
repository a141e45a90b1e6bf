"""The command ``rmtsim``: words to calls. What a verb does is in `rmtsim.cli.sweep_verbs`, loaded when it is needed.

Data goes to stdout, progress and messages to stderr. The exit codes are those of `rmtsim.cli.exit_codes`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from rmtsim.cli.exit_codes import BAD_INPUT, DONE, FAILED, UNFINISHED
from rmtsim.cli.libraries import prepare_libraries
from rmtsim.cli.parser import parser
from rmtsim.cli.streams import prepare_streams
from rmtsim.errors import InputError, RunError
from rmtsim.output import say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    if argv is None:
        prepare_streams()
    arguments = parser().parse_args(argv)
    who = f"rmtsim {arguments.verb}:"
    try:
        if argv is None:
            prepare_libraries()
        if argv is None and arguments.verb in ("run", "reproduce"):
            from rmtsim.cli.relaunch import relaunch_with_faster_kernel

            relaunch_with_faster_kernel()
        # Loaded here, so that --help answers at once.
        verb: Callable[[argparse.Namespace], int] = getattr(import_module(arguments.module), arguments.verb)
        code = verb(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of our stdout left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except InputError as error:
        say(f"{who} {error}")
        return BAD_INPUT
    except OSError as error:
        if error.filename is None:
            say(f"{who} {error}")
            return FAILED
        say(f"{who} {error.filename} cannot be used ({error.strerror}); give another path")
        return BAD_INPUT
    except ModuleNotFoundError as error:
        say(f"{who} the package {error.name} is missing; install rmtsim with what it depends on")
        return FAILED
    except (RunError, MemoryError) as error:
        say(f"{who} {str(error) or 'not enough memory; give smaller sizes'}")
        return FAILED
    except KeyboardInterrupt:
        say(f"{who} stopped; what was committed is safe, the same command goes on")
        if argv is None:  # threads in the midst of a draw, which may take minutes, would hold up the end
            os._exit(UNFINISHED)
        return UNFINISHED
