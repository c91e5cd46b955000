"""A fleet without a GPU: engines, GPUs, routers, arrivals, faults."""
