"""Whether trainings learn, and whether the doctor knows why those that do not: ``make learn``."""
