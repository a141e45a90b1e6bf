"""Pages in HTML: the report of a store, in one file that needs nothing else."""
