"""Hypothesis without deadlines: what an example costs on a busy machine is not what these tests are about."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
