"""The only ways out of this program: processes, the network, files, NVML."""
