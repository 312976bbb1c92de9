"""Evaluation: classifiers, intervals, figures."""
