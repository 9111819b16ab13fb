"""Measuring: answers, metrics, costs, and whether a difference is real."""
