"""The full Hessian of ReLU networks of any depth, by rows, and what is told of it."""
