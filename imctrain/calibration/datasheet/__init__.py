"""The datasheet: one page that shows what was measured, how well the fit describes it, and the figures."""
