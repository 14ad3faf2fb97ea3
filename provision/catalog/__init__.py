"""The catalogue of published builds: data files with sources and dates, read, shown and grown."""
