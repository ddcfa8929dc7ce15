"""Who may call: keys with scopes; who may review: the team, its passwords and sessions."""
