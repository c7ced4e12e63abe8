"""The promises of S3 over catalog and origin, without a word of HTTP."""
