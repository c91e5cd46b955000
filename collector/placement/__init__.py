"""Which GPU serves which replica."""
