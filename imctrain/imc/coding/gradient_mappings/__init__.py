"""Mappings of radix-4 gradients, one a file, under the names that `mapping.gradient` takes (see `passes`)."""
