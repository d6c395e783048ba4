"""Episodes of trained agents: as animations, and as a page that shows what is in the memory."""
