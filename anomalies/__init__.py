"""One file per detector; replica state machine and evidence. Pure: no clock, no I/O."""
