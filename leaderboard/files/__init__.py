"""Bytes on disk: files written whole, blobs under their sha256, closed folders. May import no other room."""
