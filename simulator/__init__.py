"""A fleet without a GPU: engines that batch continuously, GPUs that follow, faults on a schedule.

The same engines run on a virtual clock (:mod:`simulator.world`) for tests and behind real HTTP
(:mod:`simulator.server`) for the demo. Nothing here reads a clock or a random source of its own
below those two doors: instants come in as arguments, chance comes from a seed. Everything
simulated says so: models are named `sim-…`, GPUs `SIM-…`, answers carry `X-Simulated`.
"""
