"""``python -m rmtsim``: the same as the command ``rmtsim``."""

import os
import sys

# ``-m`` has Python import from the working directory before all else: a user's ``numpy.py`` or ``sweeps.py`` there
# would be run in the place of ours.
if sys.path[0] == os.getcwd() != os.path.dirname(os.path.dirname(os.path.abspath(__file__))):
    del sys.path[0]

from rmtsim.cli.main import main

raise SystemExit(main())
