"""The performance harness: nginx and the gateway in turn, on one core, by CPU time per request."""
