"""Scores as probabilities, and the stage weight and depth that suit an index."""
