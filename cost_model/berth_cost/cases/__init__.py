"""Cases as documents, one question to the performance model each: read, answered line by line, compared with what was
measured."""
