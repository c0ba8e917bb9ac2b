"""The whole of Periscope on one machine: embedded store, the three services, the demonstration loop."""
