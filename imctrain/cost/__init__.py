"""What a training step costs: events counted from plans and programs, priced by a technology (docs/cost.md)."""
