"""Constitutions: what a user writes about a persona."""
