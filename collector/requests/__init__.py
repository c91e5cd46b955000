"""Request timings: a streaming proxy, and the socket that carries records to the agent."""
