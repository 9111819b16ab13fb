"""Measuring: predictions, metrics, costs, and whether a difference is real."""
