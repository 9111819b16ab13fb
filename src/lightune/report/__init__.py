"""A RunRecord as a terminal summary, an HTML page and a model card; no torch."""
