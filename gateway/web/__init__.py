"""HTTP: requests become authorised calls, and answers become bytes."""
