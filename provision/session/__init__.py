"""One run from request to reports: what a verb that builds or checks goes through."""
