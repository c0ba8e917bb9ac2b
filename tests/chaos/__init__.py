"""The whole system under load and faults, and an auditor that says whether a promise was broken: `make chaos`."""
