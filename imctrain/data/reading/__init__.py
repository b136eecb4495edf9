"""Folders, tar and zip archives as streams of files: bounded, without links, and never extracted to disk."""
