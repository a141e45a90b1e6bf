"""The paper's own experiments and figures."""
