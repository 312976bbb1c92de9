"""The first training: replies of teacher and student, pairs, and their settings."""
