"""Facts (ClickHouse dialect) and state (relational): the only doors to a database."""
