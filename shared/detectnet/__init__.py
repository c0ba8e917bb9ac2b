"""DetectNet's rules on numpy arrays: labels, grids, clustering, decoders, metrics, file formats."""
