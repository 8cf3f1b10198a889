"""What is fast: reading large files and matching large sets of detections, in C.

`engine` is the one file that the rest of the package uses: it picks the C or numpy. `compiled` gives the C its
arguments; each header says what its functions do. May import numpy alone.
"""
