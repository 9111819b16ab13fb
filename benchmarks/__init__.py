"""Comparisons with the usual alternatives: one file per row, all arms measured alternately in one run."""
