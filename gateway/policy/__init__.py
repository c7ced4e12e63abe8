"""Who may do what: the model, the policy files and the one function that decides; pure."""
