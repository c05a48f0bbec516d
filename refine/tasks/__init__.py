"""What the commands do: a module a command, and what they share."""
