"""What compiled files and installed distributions carry, read from their bytes."""
