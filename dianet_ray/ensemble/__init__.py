"""The champion's fold models, collected and put to use."""
