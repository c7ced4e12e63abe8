"""Who signed this: the signatures of clients, verified, and of our own requests, made; pure."""
