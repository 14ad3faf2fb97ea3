"""Prediction for one model on one host: memory, context, concurrency, and the serve command."""
