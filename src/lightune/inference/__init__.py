"""Using a trained model: on one text or many, how fast it is, and whether a reloaded model predicts the same."""
