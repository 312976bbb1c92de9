"""Prompts: rows, expansion, data sets."""
