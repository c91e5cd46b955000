"""From facts to the ledger."""
