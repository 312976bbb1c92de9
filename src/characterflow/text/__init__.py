"""Languages: sentences, likeness, names."""
