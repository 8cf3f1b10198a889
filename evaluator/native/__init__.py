"""What is fast: scanners of large files and the matching of large sets of detections, in C.

`engine` is the one file that the rest of the package asks: it picks the C or numpy. `compiled` gives the C its
arguments; each header says what its functions do.
"""
