"""CloudFormation: change sets, rollback, names and template URLs."""
