"""The command line: a thin front door that loads what a verb needs when it needs it."""
