"""Pre-trained models: where they come from, how they load, and what their parts are called."""
