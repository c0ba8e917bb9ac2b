"""Platform library of the services: store, documents, keys, wire models, web plumbing.

Kept empty on purpose: an import here would reach the training program at second hand.
"""
