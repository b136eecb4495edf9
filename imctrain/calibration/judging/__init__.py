"""What a fit must not be accepted with, and what its reader must be told."""
