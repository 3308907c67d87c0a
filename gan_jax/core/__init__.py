"""Types, errors, files, random keys and checks that every package may use."""
