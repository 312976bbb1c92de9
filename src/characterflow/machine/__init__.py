"""What jobs run on: devices, schedulers, and what to ask of them."""
