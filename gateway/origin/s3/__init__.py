"""Origins that are S3 endpoints: plain requests of our own, each signed, none copied from a client's."""
