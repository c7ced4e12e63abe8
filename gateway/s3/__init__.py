"""What S3 says on the wire: pure functions from bytes and headers to values and back."""
