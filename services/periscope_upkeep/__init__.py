"""Upkeep of the bucket: made ready at installation, copied to a folder, and brought back from there."""
