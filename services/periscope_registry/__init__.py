"""The registry service: models, versions, aliases, devices. Big bodies go by presigned URL."""
