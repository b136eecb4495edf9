"""Where a run can report to, a tracker a file: TensorBoard by default, the others by their name in the config."""
