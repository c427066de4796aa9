"""The report of a study: one document, and its views."""
