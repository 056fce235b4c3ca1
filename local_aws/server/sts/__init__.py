"""STS: sessions with an MFA code, and encoded messages."""
