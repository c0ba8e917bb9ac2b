"""What a token's holder may do; each role may do what those after it may, but ``device`` stands alone."""

from typing import Literal

Role = Literal["admin", "editor", "viewer", "device"]
ROLES: tuple[Role, ...] = ("admin", "editor", "viewer", "device")
