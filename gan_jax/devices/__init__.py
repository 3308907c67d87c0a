"""How a step is spread over devices and processes."""
