"""Alert state machine, grouping, routing (pure); delivery and receivers."""
