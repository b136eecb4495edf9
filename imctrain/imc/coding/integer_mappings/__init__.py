"""Mappings of integer operands, one a file, under the names that `mapping.activation` takes (see `integer_passes`)."""
