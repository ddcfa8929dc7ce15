"""Who may call: keys with scopes, and reviewers' sessions."""
