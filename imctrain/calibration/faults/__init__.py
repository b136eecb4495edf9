"""What a real converter does that the model has no figure for: looked for in codes, and in the order of conversions."""
