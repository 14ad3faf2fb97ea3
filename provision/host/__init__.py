"""Facts of a host: one fact per file, each with declared sources and a pure parser."""
