"""What goes wrong when a file is converted, in words for the person who has the file."""

from __future__ import annotations


class ConversionError(ValueError):
    """The file is damaged, of another shape than the dataset's official files, or lacks what the dataset needs."""
