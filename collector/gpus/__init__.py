"""The GPUs of a host, read through NVML: who they are, what they do, how well they are."""
