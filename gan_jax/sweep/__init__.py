"""Many runs: their plan, their table."""
