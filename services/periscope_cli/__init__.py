"""The command ``periscope``: what scripts and people call. It talks HTTP and holds no store credentials."""
