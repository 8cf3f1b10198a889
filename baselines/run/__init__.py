"""How a model runs on the images of a benchmark: boxes, crops, batches, resuming, claimed scores, the person detector.

May import estimators, weights, mannequins and what is below them.
"""
