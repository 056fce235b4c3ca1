"""What the demo and the tests do besides running our commands: annexes, users, and counting what is left."""
