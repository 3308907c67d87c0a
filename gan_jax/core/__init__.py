"""Types, errors, files, random keys and checks, which every room may use."""
