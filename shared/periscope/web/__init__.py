"""The only shared Flask code: the application every service starts from, its errors, roles and pages."""
