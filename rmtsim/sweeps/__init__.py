"""Sweeps: what is to run, and the loop that runs it on threads or with Ray."""
