"""The API: pydantic models, the rules that they keep, and the CRDs that are generated from both."""
