"""What a run and a sweep leave on disk: names, layout and types of their files. Nothing else spells those names."""
