"""How a run is told: one Report, and pure functions from it to text."""
