"""Side by side with what people would use instead: one file a row, all measured in alternation in one run."""
