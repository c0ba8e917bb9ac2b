"""What the services promise in public: their OpenAPI documents as they stand in docs/openapi."""
