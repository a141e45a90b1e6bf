"""Statistics of draws: means, fits, and verdicts against the theory."""
