"""The dataset service: upload, check, freeze and browse datasets. It never converts images at ingest."""
