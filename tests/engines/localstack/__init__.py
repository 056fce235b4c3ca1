"""The template and our client on LocalStack's open CloudFormation engine."""
