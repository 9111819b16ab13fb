"""Using what was trained: one text, many texts, how fast, and whether a reload answers the same."""
