"""What each command does, without the command line: options in, calls to the other packages, text to a screen."""
