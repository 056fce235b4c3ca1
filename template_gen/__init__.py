"""Generates the CloudFormation template. Runs at build time only and imports no boto3."""
