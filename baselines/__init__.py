"""Reference pose estimators: their networks, and how they run on the images of a benchmark."""
