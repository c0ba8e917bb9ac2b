"""What only a GPU can show; `make test-gpu`, for people who have one."""
