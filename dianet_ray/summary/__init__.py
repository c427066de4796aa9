"""What a finished study says: report, collected models, predictions."""
