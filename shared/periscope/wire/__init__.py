"""Bodies of all HTTP calls as pydantic models: the contract between services and their clients."""
