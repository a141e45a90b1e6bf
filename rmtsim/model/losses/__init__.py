"""The losses that come with rmtsim, one or two to a module; every module here is imported when a loss is asked for."""
