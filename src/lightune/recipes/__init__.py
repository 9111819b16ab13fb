"""Shipped recipes, and how a recipe file, flags and `--set` become one recipe."""
