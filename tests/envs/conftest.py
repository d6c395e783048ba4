from memory_agents.envs import register_environments

register_environments()
