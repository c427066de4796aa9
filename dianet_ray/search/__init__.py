"""The search: spaces, ledger, searcher, trials and their tuner."""
