"""The agent on a GPU host: reads GPUs, engines and requests, seals batches and ships them."""
