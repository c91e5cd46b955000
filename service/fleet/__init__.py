"""What stands, and what should be heard: agents, GPUs and replicas."""
