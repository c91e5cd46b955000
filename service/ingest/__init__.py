"""The door of facts: a batch's bytes become checked columns, or an error that says where."""
