"""How a lab file becomes measurements: rows read in a stream, checked, and counted."""
