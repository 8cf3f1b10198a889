"""From bytes to arrays, every value checked: archives, JSON, predictions, annotations, image lists, and the table
of upload rules. May import plain data, surface, native and the mathematics; no metric.
"""
