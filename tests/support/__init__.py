"""What the tests share: a running gateway, clients for it, and the data they send."""
