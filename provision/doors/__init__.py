"""The only ways out of the house: processes, the network, files, NVML."""
