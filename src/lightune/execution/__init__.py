"""Padding-free execution: every layer sees the real tokens of a batch alone, attention sees where each text ends."""
