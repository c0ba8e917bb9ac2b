"""Speed and memory side by side: `make bench`. Not tests: nothing here passes or fails by the clock."""
