"""A trained network on other chips, conditions and hardware, without training."""
