"""What should be on a host: one chooser a file, all pure; `make.py` puts them together."""
