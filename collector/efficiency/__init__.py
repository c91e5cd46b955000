"""How much of what the silicon could do was model work: MFU and MBU from token rates, and the peaks."""
