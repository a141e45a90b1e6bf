"""What is simulated: points, ensembles, networks and losses."""
