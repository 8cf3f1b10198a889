"""The process that scores: scorer, zygote, confinement, the check of its report. Knows the evaluator and no table."""
