"""Everything read for a board: rankings, summaries, wording, visibility, what can run. Writes nothing.

May import models and drawing.
"""
