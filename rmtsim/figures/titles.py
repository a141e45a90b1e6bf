"""What models, losses, layers and blocks are called in titles and legends; what is not here is called by its name."""

MODELS = {"linear": "linear model", "one_hidden": "one hidden layer"}
LOSSES = {"ce": "cross-entropy", "mse": "squared loss"}
LAYERS = {"linear": "linear model", "hidden": "hidden layer", "output": "output layer", "cross": "cross layer"}
BLOCKS = {"diag": "diagonal blocks", "offdiag": "off-diagonal blocks", "ratio": "off-diagonal / diagonal"}
