"""What a single cell of a table holds: nothing, a number, a label; names that look the same. No files, no tables."""
