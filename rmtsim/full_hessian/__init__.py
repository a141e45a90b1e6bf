"""The full Hessian of networks of any depth, by rows, and its description."""
