"""What is read for a board: rankings, summaries, wording, visibility, what can run. Writes nothing.

May import models, drawing and files.
"""
