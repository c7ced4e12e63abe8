"""Backups: taken while the gateway serves, checked by their manifest, and restored where nothing is."""
