"""The backends that come with rmtsim, each a module; all are imported when a backend is asked for."""
