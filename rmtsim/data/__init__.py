"""Data sets: Gaussian, clustered, CIFAR-100, and a user's own."""
