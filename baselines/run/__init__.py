"""How a model runs on the images of a benchmark: boxes, crops, batches, resuming, the person detector.

May import estimators, weights and what is below them.
"""
