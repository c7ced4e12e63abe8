"""What must survive: the SQLite file and the key ring; the only room that knows SQL."""
