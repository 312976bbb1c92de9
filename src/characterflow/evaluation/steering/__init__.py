"""Control vectors: the baseline without training."""
