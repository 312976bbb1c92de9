"""A judge's verdicts, and how good a judge is."""
