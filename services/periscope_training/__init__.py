"""The training service: jobs, launchers, metrics, publishing. It never imports torch."""
