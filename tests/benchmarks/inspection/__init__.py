"""Tests of memory_agents.benchmarks.inspection."""
