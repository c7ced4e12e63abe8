"""A handler for each operation: it parses, asks `objects` or the store, and answers."""
