"""The activations that come with rmtsim, each a module; all are imported when an activation is asked for."""
