"""Talking with a model or a persona in a terminal."""
