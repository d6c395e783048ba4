"""Many runs from one file: planned, shared out to processes, taken up again where they stopped."""
