"""How a network runs: engines, batches, devices."""
