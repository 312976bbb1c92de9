"""What is passed on: a persona's folder, its card, the Hub."""
