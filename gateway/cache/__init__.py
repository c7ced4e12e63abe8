"""Warm bytes: bodies that were read are kept close, in memory and on disk, under names that no other body has."""
