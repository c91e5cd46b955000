"""Price book, attribution, ledger, statements. Pure: integers of nano-currency, no I/O."""
