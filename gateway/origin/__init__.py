"""Where the bytes lie: the Origin protocol and what stands behind it."""
