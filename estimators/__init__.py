"""The transferability estimators, one paper a file."""
