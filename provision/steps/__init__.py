"""The numbered steps. Each turns a plan into actions, which only the engine executes."""
