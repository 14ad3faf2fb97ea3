"""The numbered steps: each turns a plan into actions, which only the engine carries out."""
