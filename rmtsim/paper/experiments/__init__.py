"""The experiments behind the figures that are not sweeps: which tables each consists of."""
