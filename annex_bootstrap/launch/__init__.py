"""The one-click way: links, the launch page, publishing, verifying."""
