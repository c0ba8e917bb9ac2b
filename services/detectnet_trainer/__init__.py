"""DetectNet in PyTorch: what a training job runs; also the command ``detectnet`` on its own."""
