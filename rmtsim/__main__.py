"""``python -m rmtsim``: the same as the command ``rmtsim``."""

from rmtsim.cli.main import main

raise SystemExit(main())
