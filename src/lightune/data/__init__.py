"""Labelled texts: reading them, checking them, and turning them into tokens."""
