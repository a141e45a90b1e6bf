"""Heads: the last layer of a trained classifier or language model, whose Hessian is that of the linear model."""
