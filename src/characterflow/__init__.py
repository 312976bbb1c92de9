"""characterflow: from a written constitution to a trained persona, and the evidence that it holds."""

__version__ = "0.1.0"
