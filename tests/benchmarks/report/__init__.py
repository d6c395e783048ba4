"""Tests of memory_agents.benchmarks.report."""
