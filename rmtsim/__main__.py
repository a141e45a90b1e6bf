"""``python -m rmtsim``: the same as the command ``rmtsim``."""

from rmtsim.cli import main

raise SystemExit(main())
