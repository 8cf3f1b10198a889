"""Training: of the models, of the person detector, and of the statistics for grouping. May import run and what is
below."""
