"""Language models: the step of an engine, its fitted constants, and what measured runs say of them."""
