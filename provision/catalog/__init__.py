"""What is known of published builds: data files with sources and dates, and their reader."""
