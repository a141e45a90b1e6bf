"""Training: a problem, full-batch Adam, and the Hessian along the way."""
