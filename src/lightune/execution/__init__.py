"""Padding-free execution: layers see only the real tokens of a batch, and attention sees where each text ends."""
