"""Checkpoints: their descriptions, public formats, recognition, registration and download.

May import the registry and what is below it. How images are prepared for public weights is on the model's card.
"""
