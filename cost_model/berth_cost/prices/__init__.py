"""Prices of GPU instances: the book, its rows and their traps, how old a price is, and what is offered."""
