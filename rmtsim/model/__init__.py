"""Models, points, ensembles, losses and activations: objects that say what distinguishes each."""
