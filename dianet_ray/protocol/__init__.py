"""The scientific claim, pure: folds, metrics, decisions and selection."""
