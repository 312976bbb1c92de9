"""What a run costs, before it and after it."""
