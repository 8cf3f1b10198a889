"""From a network's maps to joints and people: heatmaps, grouping, suppression. Arrays in, arrays out.

May import `baselines.protocol` and nothing else of the package.
"""
